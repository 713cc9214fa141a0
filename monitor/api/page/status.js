// What must never be overlooked: whether anybody is watching at all. Calm is not blind, and an old page is neither.

import { at, fill, make, plain } from "./dom.js";
import { count, exact, say, span, wordFor } from "./words.js";

const STATES = ["surge", "blind", "learning", "calm"];
const BEHIND = 300; // seconds without a decided tick: one comes every minute

let connection = { state: "connecting", message: "" };
let pulse = null;
let heard = 0; // of this browser's clock: when the pulse came
let lost = 0; // when the connection was lost

/** Return the daemon's present: its clock as of the last pulse, gone on with ours. */
export function now() {
  return new Date(pulse === null ? Date.now() : Date.parse(pulse.at) + (Date.now() - heard));
}

/** Return the last pulse, or null. */
export const lastPulse = () => pulse;

/** Take a pulse; returns whether the detector has moved on since the one before. */
export function takePulse(next) {
  const moved = pulse === null || pulse.ticked !== next.ticked || STATES.some((state) => pulse.keys[state] !== next.keys[state]);
  pulse = next;
  heard = Date.now();
  showStatus();
  return moved;
}

/** Take a change of the connection. */
export function takeConnection(state, message = "") {
  if (state === connection.state && message === connection.message) return false;
  if (connection.state === "live" || connection.state === "connecting") lost = Date.now();
  connection = { state, message };
  showStatus();
  return true;
}

/** Return whether what is shown is the present. */
const current = () => connection.state === "live" && pulse !== null;

/** Show all of it anew. */
export function showStatus() {
  document.body.classList.toggle("stale", !current());
  document.body.dataset.connection = connection.state;
  fill(at("pulse"), make("span", { class: `dot ${well() ? "well" : "ill"}`, "aria-hidden": "true" }), lamp());
  fill(at("counts"), pulse === null ? [] : STATES.map(tally));
  fill(at("banners"), banners());
  showClock();
  document.title = title();
}

/** Let the clock go on, and notice what time alone brings. */
export function showClock() {
  const clock = at("clock");
  clock.textContent = exact(now());
  clock.dateTime = now().toISOString();
}

const behind = () => (pulse?.ticked ? (Date.parse(pulse.at) - Date.parse(pulse.ticked)) / 1000 : 0);
const well = () => current() && pulse.ready && behind() < BEHIND;

function lamp() {
  if (!current()) return say(`connection ${connection.state}`);
  if (!pulse.ready) return say("not ready");
  if (behind() >= BEHIND) return say("behind");
  return pulse.ticked === null ? say("starting") : say("watching");
}

function tally(state) {
  const n = pulse.keys[state];
  return make("li", { class: n ? `tally ${state}` : "tally none" }, make("b", {}, count(n)), ` ${wordFor("state", state)}`);
}

function banners() {
  const shown = [];
  if (!current()) {
    const since = lost ? say("shown as of", { ago: span((Date.now() - lost) / 1000) }) : "";
    if (connection.state !== "connecting") shown.push(banner("broken", say(`banner ${connection.state}`), plain(connection.message), since));
    return shown;
  }
  if (!pulse.ready) {
    const wrong = pulse.checks.filter((check) => !check.ok).map((check) => `${check.name}: ${plain(check.detail)}`);
    shown.push(banner("broken", say("banner not ready"), wrong.join("; ")));
  }
  if (behind() >= BEHIND) shown.push(banner("broken", say("banner behind", { ago: span(behind()) })));
  if (pulse.keys.blind) shown.push(banner("blind", say("banner blind", { n: pulse.keys.blind })));
  return shown;
}

const banner = (kind, ...parts) => make("p", { class: `banner ${kind}` }, parts.filter(Boolean).join(" "));

function title() {
  if (!current()) return `⚠ newsquake`;
  return pulse.incidents ? `(${pulse.incidents}) newsquake` : "newsquake";
}
