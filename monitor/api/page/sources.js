// The sources and the instrument: what comes in, what became of it, and what judges it.

import { ask } from "./api.js";
import { at, fill, foreign, make, plain } from "./dom.js";
import { lastPulse, now } from "./status.js";
import { count, moment, say, wordFor } from "./words.js";

const LEDGER = ["received", "stored", "duplicate", "dead", "dropped", "in_flight"];
const LEARNED = 30; // days after which the rate of false alarms is learned from what was watched

let sources = [];

/** Load the sources. */
export async function loadSources() {
  ({ sources } = await ask("/sources"));
  showSources();
}

/** Show the sources and the instrument. */
export function showSources() {
  const columns = ["source", "state", "last read", ...LEDGER.map((name) => `ledger ${name}`)];
  fill(
    at("sources-table"),
    make("thead", {}, make("tr", {}, columns.map((name) => make("th", { scope: "col" }, say(name))))),
    make("tbody", {}, sources.length ? sources.map(row) : make("tr", {}, make("td", { colspan: columns.length, class: "nothing" }, say("no sources")))),
  );
  const pulse = lastPulse();
  if (pulse !== null) fill(at("instrument-list"), instrument(pulse));
}

function row(source) {
  const state = source.error ? "error" : source.blind ? "blind" : source.kind === null ? "gone" : "fine";
  const { ledger } = source;
  return make(
    "tr",
    { class: state },
    make("th", { scope: "row" }, foreign(source.id, 80), make("small", {}, source.kind === null ? "" : wordFor("source kind", source.kind))),
    make("td", {}, make("span", { class: `mark ${state}` }, say(`source ${state}`)), source.error ? make("small", {}, foreign(source.error)) : null),
    make("td", {}, source.last_success === null ? "–" : moment(new Date(source.last_success), now())),
    LEDGER.map((name) => make("td", { class: (name === "dead" || name === "dropped") && ledger[name] ? "number wrong" : "number" }, count(ledger[name]))),
  );
}

function instrument(pulse) {
  const entries = [
    [say("model"), make("code", {}, pulse.model ?? "–")],
    [say("last tick"), pulse.ticked === null ? "–" : moment(new Date(pulse.ticked), now())],
    [say("keys learning"), `${count(pulse.keys.learning)} / ${count(Object.values(pulse.keys).reduce((sum, n) => sum + n, 0))}`],
    [say("false alarms"), pulse.days < LEARNED ? say("false alarms learning", { day: count(pulse.days), of: count(LEARNED) }) : say("false alarms learned")],
    ...pulse.checks.map((check) => [wordFor("check", check.name), make("span", { class: check.ok ? "fine" : "wrong" }, check.ok ? say("in order") : plain(check.detail))]),
    [say("version"), pulse.version],
  ];
  return entries.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value)));
}
