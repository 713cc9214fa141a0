// The live stream, read with fetch: an EventSource could not send the token. It is begun again, after the last event
// that was seen, whenever it ends; silence for longer than a few pulses counts as an end.

import { Refused, send } from "./api.js";

const SILENCE = 25_000; // milliseconds; a pulse comes every ten seconds
const PAUSES = [500, 1_000, 2_000, 5_000, 10_000];

/**
 * Follow the stream for ever. `told(kind, data)` is called for each event; `changed(state, message)` when the
 * connection does: "live", "lost", "stopped" (the daemon said so), "denied" (it wants a token), "refused".
 */
export async function follow(told, changed) {
  let last = null;
  let failures = 0;
  let stopped = false;
  for (;;) {
    try {
      for await (const event of connection(last)) {
        changed("live");
        failures = 0;
        last = event.id ?? last;
        stopped = event.kind === "end";
        if (!stopped) told(event.kind, event.data);
      }
      changed(stopped ? "stopped" : "lost");
    } catch (error) {
      if (error instanceof Refused && error.status === 401) await changed("denied");
      else if (error instanceof Refused) changed("refused", error.message);
      else changed(stopped ? "stopped" : "lost");
    }
    await new Promise((done) => setTimeout(done, PAUSES[Math.min(failures, PAUSES.length - 1)]));
    failures += 1;
  }
}

async function* connection(last) {
  const cut = new AbortController();
  let silence = setTimeout(() => cut.abort(), SILENCE);
  try {
    const headers = last === null ? {} : { "last-event-id": last };
    const response = await send("/stream", { headers, signal: cut.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => cut.abort(), SILENCE);
      const frames = (text + value).split("\n\n");
      text = frames.pop();
      for (const frame of frames) yield parsed(frame);
    }
  } finally {
    clearTimeout(silence);
    cut.abort();
  }
}

function parsed(frame) {
  const fields = Object.fromEntries(frame.split("\n").map((line) => /^(\w+): (.*)$/s.exec(line).slice(1)));
  return { kind: fields.event, id: fields.id, data: JSON.parse(fields.data) };
}
