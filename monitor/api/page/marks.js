// What is painted into the chart beside its series: the band of what is normal, the incidents, the present.

/** Fill from 0 to the upper end of what is normal, in steps. */
export function drawBand(plot, fill) {
  const [middles, , , uppers] = plot.data;
  const half = middles.length > 1 ? (middles[1] - middles[0]) / 2 : 0;
  paint(plot, (context, x, y) => {
    context.fillStyle = fill;
    uppers.forEach((upper, place) => {
      if (upper === null) return;
      const left = Math.round(x(middles[place] - half)); // whole pixels, so that there are no seams
      context.fillRect(left, y(upper), Math.round(x(middles[place] + half)) - left, y(0) - y(upper));
    });
  });
}

/** Shade the time in which an incident was open, with a line where it was raised. */
export function drawIncidents(plot, incidents, now, colour) {
  paint(plot, (context, x) => {
    for (const incident of incidents) {
      const left = x(Date.parse(incident.opened) / 1000);
      const right = x((incident.resolved === null ? now.getTime() : Date.parse(incident.resolved)) / 1000);
      const { top, height } = plot.bbox;
      context.fillStyle = colour(incident.kind === "blind" ? "blind-shade" : "surge-shade");
      context.fillRect(left, top, Math.max(right - left, 2), height);
      context.fillStyle = colour(incident.kind === "blind" ? "blind" : "surge");
      context.fillRect(left, top, 2 * devicePixelRatio, height);
    }
  });
}

/** Draw a line at the present. */
export function drawNow(plot, now, stroke) {
  paint(plot, (context, x) => {
    const { top, height } = plot.bbox;
    context.fillStyle = stroke;
    context.fillRect(x(now.getTime() / 1000), top, 1, height);
  });
}

/** Let `work` paint within the plot's box; `x` and `y` turn values into pixels. */
function paint(plot, work) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  work(ctx, (value) => plot.valToPos(value, "x", true), (value) => plot.valToPos(value, "y", true));
  ctx.restore();
}
