// One key, looked at closely: its chart with the band of what is normal and the surges marked, and its headlines.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { ask, quietly } from "./api.js";
import { drawBand, drawIncidents, drawNow } from "./marks.js";
import { at, fill, foreign, make, titled } from "./dom.js";
import { listed } from "./keys.js";
import { now } from "./status.js";
import { count, keyName, moment, number, say, span, tickLabel, wordFor } from "./words.js";

// What is shown, in steps that are windows of the detector: the band is then just what it allows for.
const SPANS = { "24h": ["1h", 86400], "3d": ["1h", 3 * 86400], "7d": ["6h", 7 * 86400], "30d": ["1d", 30 * 86400] };
const HEADLINES = 8;

let key = null;
let chosenSpan = "24h";
let series = null;
let incidents = [];
let articles = [];
let chart = null;
let asked = 0;

/** Return the key that is shown, or null. */
export const subject = () => key;

/** Draw anew where the window's width or the colours change. */
export function setUpSubject() {
  new ResizeObserver(() => resize()).observe(at("chart"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => showSubject());
}

/** Choose a key and load it. */
export async function chooseSubject(chosen) {
  if (chosen !== key) [series, incidents, articles] = [null, [], []];
  key = chosen;
  showSubject();
  await loadSubject();
}

/** Load what is shown of the key. */
export async function loadSubject() {
  if (key === null) return;
  const question = ++asked;
  const [step, seconds] = SPANS[chosenSpan];
  const until = now();
  const since = new Date(until - seconds * 1000).toISOString();
  const [points, surges, news] = await Promise.all([
    ask(`/keys/${encodeURIComponent(key)}/series`, { since, until: until.toISOString(), step }),
    ask("/incidents", { key, limit: 100 }),
    ask("/articles", { key, limit: HEADLINES }),
  ]);
  if (question !== asked) return;
  [series, incidents, articles] = [points, surges.incidents, news.articles];
  showSubject();
}

/** Show all of it. */
export function showSubject() {
  if (key === null) return;
  const level = listed(key);
  fill(at("subject-title"), foreign(keyName(key, level?.names)));
  fill(at("span"), Object.keys(SPANS).map(spanButton));
  fill(at("subject-state"), level ? state(level) : []);
  fill(at("windows"), level?.windows.length ? windowTable(level.windows) : []);
  fill(at("headlines"), articles.length ? articles.map(article) : make("li", { class: "nothing" }, say("no headlines")));
  if (series === null) return;
  fill(at("chart-legend"), legend());
  at("chart").setAttribute("aria-label", inWords());
  draw();
}

function spanButton(name) {
  const press = () => {
    chosenSpan = name;
    showSubject();
    quietly(loadSubject());
  };
  return make("button", { type: "button", "aria-pressed": name === chosenSpan, "data-focus": name, on: { click: press } }, span(SPANS[name][1]));
}

function state(level) {
  const since = level.learning_since ? ` · ${say("learning since", { at: moment(new Date(level.learning_since), now()) })}` : "";
  return [make("span", { class: `mark ${level.state}` }, wordFor("state", level.state)), ` ${wordFor("kind", level.group)}${since}`, level.state === "blind" ? ` · ${say("blind means")}` : ""];
}

function windowTable(windows) {
  return make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ["window", "all stories", "negative stories", "normal"].map((name) => make("th", { scope: "col" }, say(name))))),
    make("tbody", {}, windows.map((each) => make("tr", {}, make("th", { scope: "row" }, span(each.seconds)), [count(each.stories), number(each.negative), number(each.expected)].map((value) => make("td", {}, value))))),
  );
}

function article(each) {
  return make("li", {}, titled(each.title || say("no title"), each.link), make("small", {}, foreign(each.publisher, 80), ` · ${moment(new Date(each.received), now())}`));
}

const points = () => series.points;
const unknown = () => points().every((point) => point.expected === null);

function legend() {
  const step = span(series.step_seconds);
  return [
    make("span", { class: "swatch bar" }), say("legend bars", { step }), " ",
    unknown() ? say("legend unknown") : [make("span", { class: "swatch line" }), say("legend line"), " ", make("span", { class: "swatch band" }), say("legend band")],
    incidents.length ? [" ", make("span", { class: "swatch surge" }), say("legend surges")] : null,
  ];
}

/** Say what the chart shows, for those who do not see it. */
function inWords() {
  const most = points().reduce((best, point) => (point.weight > best.weight ? point : best));
  const given = { name: keyName(key, listed(key)?.names), span: span(SPANS[chosenSpan][1]), step: span(series.step_seconds), n: incidents.length };
  if (most.weight === 0) return say("chart quiet", given);
  return say("chart", { ...given, most: number(most.weight), at: moment(new Date(most.at), now()), normal: most.expected === null ? "–" : number(most.expected) });
}

const colour = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();

function draw() {
  const box = at("chart");
  const times = points().map((point) => Date.parse(point.at) / 1000);
  const half = series.step_seconds / 2;
  const middles = times.map((time) => time + half);
  const column = (name) => points().map((point) => point[name]);
  const data = [middles, column("weight"), column("expected"), column("upper")];
  chart?.destroy();
  chart = new uPlot(options(box, [times[0], times.at(-1) + series.step_seconds]), data, box);
}

function options(box, [first, last]) {
  const ink = colour("muted");
  const grid = { stroke: colour("line"), width: 1 };
  const daily = last - first > 4 * 86400;
  const tops = points().flatMap((point) => [point.weight, point.upper ?? 0]);
  const top = Math.max(4, ...tops) * 1.12;
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { range: () => [first, last] }, y: { range: () => [0, top] } },
    axes: [
      { stroke: ink, grid: { show: false }, ticks: grid, values: (_, splits) => splits.map((time) => tickLabel(new Date(time * 1000), daily)) },
      { stroke: ink, grid, ticks: { show: false }, size: 44, values: (_, splits) => splits.map((value) => (Number.isInteger(value) ? count(value) : "")) },
    ],
    series: [
      {},
      { stroke: colour("bad"), fill: colour("bad"), paths: uPlot.paths.bars({ size: [0.72, 40], align: 0 }), points: { show: false } },
      { stroke: colour("usual"), width: 1.5, dash: [4, 3], points: { show: false } },
      { show: true, stroke: null, points: { show: false } },
    ],
    hooks: {
      drawClear: [(plot) => drawIncidents(plot, incidents, now(), colour), (plot) => drawBand(plot, colour("band"))],
      draw: [(plot) => drawNow(plot, now(), colour("muted"))],
      setCursor: [(plot) => readOut(plot)],
    },
  };
}

/** Say what stands under the cursor. */
function readOut(plot) {
  const { idx } = plot.cursor;
  const box = at("chart");
  const point = idx === null || idx === undefined ? null : points()[idx];
  let tip = box.querySelector(".tip");
  if (point === null) return tip?.remove();
  tip ??= box.appendChild(make("div", { class: "tip", "aria-hidden": "true" }));
  const lines = [
    moment(new Date(point.at), now()),
    say("tip stories", { n: count(point.stories), negative: number(point.weight) }),
    point.expected === null ? say("legend unknown") : say("tip normal", { expected: number(point.expected), upper: number(point.upper) }),
    point.history ? say("tip history", { n: count(point.history) }) : null,
  ];
  fill(tip, lines.filter(Boolean).map((line) => make("div", {}, line)));
  tip.style.left = `${Math.min(Math.max(plot.cursor.left + plot.over.offsetLeft + 12, 0), box.clientWidth - tip.offsetWidth)}px`;
}

function resize() {
  const box = at("chart");
  chart?.setSize({ width: box.clientWidth, height: box.clientHeight });
}
