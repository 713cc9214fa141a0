// The incidents: what has been raised, what it rests on, and what the desk does about it.

import { Refused, ask, tell } from "./api.js";
import { at, fill, foreign, make, plain, titled } from "./dom.js";
import { now } from "./status.js";
import { count, keyName, moment, number, percent, rarity, say, span } from "./words.js";

const SHOWN = 50;
const HEADLINES = 3; // before one asks for more
const VERDICTS = ["right", "false", "old_news", "wrong_company", "wrong_sentiment"];

const incidents = new Map();
const names = new Map(); // of keys, as the list of keys gives them
const expanded = new Set();
const details = new Map(); // what was asked for when a card was opened: deliveries and verdicts
const answers = new Map(); // what the daemon said to a button
let onlyOpen = true;
let choose = () => {};

/** Prepare the list; `chosen(key)` is called where one wants to see a key. */
export function setUpIncidents(chosen) {
  choose = chosen;
}

/** Load the open incidents and the last that were closed. */
export async function loadIncidents() {
  const [firing, acknowledged, recent] = await Promise.all([
    everyPage({ state: "firing" }),
    everyPage({ state: "acknowledged" }),
    ask("/incidents", { limit: SHOWN }).then((page) => page.incidents),
  ]);
  incidents.clear();
  for (const incident of [...recent, ...firing, ...acknowledged]) incidents.set(incident.id, incident);
  showIncidents();
}

async function everyPage(query) {
  const found = [];
  let cursor = null;
  do {
    const page = await ask("/incidents", { ...query, limit: 200, cursor });
    found.push(...page.incidents);
    cursor = page.next;
  } while (cursor !== null);
  return found;
}

/** Take an incident that was opened or has changed; returns it if it is news to the page. */
export function takeIncident(incident) {
  const known = incidents.get(incident.id);
  if (known !== undefined && known.revision > incident.revision) return;
  incidents.set(incident.id, incident);
  details.delete(incident.id);
  if (expanded.has(incident.id)) loadDetail(incident.id);
  if (known === undefined || known.state !== incident.state) announce(incident);
  showIncidents();
}

/** Learn what keys are called. */
export function learnNames(keys) {
  for (const key of keys) names.set(key.key, key.names);
}

const named = (key) => plain(keyName(key, names.get(key)));

function announce(incident) {
  const what = incident.state === "resolved" ? "spoken resolved" : `spoken ${incident.kind}`;
  at("spoken").textContent = say(what, { name: named(incident.keys[0]), severity: say(`severity ${incident.severity}`) });
}

const isOpen = (incident) => incident.state !== "resolved";

/** Show the list. */
export function showIncidents() {
  const all = [...incidents.values()].sort(order);
  const open = all.filter(isOpen);
  fill(at("incidents-filter"), [true, false].map((open_) => filterButton(open_, open_ ? open.length : null)));
  const shown = onlyOpen ? open : all;
  fill(at("incidents-list"), shown.length ? shown.map(card) : make("p", { class: "nothing" }, say(onlyOpen ? "no open incidents" : "no incidents")));
}

function filterButton(open, number_) {
  const pressed = open === onlyOpen;
  const label = open ? say("open") : say("all");
  const press = () => {
    onlyOpen = open;
    showIncidents();
  };
  return make("button", { type: "button", "aria-pressed": pressed, "data-focus": label, on: { click: press } }, label, number_ === null ? null : ` ${count(number_)}`);
}

const RANKS = ["critical", "high", "medium", "low"];

function order(one, other) {
  if (isOpen(one) !== isOpen(other)) return isOpen(one) ? -1 : 1;
  const rank = isOpen(one) ? RANKS.indexOf(one.severity) - RANKS.indexOf(other.severity) : 0;
  return rank || Date.parse(other.opened) - Date.parse(one.opened);
}

function card(incident) {
  const [lead, ...others] = incident.keys;
  return make(
    "article",
    { class: `incident ${incident.kind} ${incident.severity} ${incident.state}`, "data-id": incident.id },
    make(
      "h3",
      {},
      make("span", { class: "severity" }, say(`severity ${incident.severity}`)),
      make("span", { class: "kind" }, say(`incident ${incident.kind}`)),
      keyButton(incident, lead),
    ),
    make("p", { class: "when" }, when(incident), incident.late ? ` · ${say("told late")}` : null),
    make("p", { class: "figures" }, figures(incident)),
    incident.explanation ? make("p", { class: "causes" }, causes(incident.explanation)) : null,
    others.length ? make("p", { class: "also" }, `${say("also")} `, others.map((key, place) => [place ? " · " : "", keyButton(incident, key)])) : null,
    headlines(incident),
    actions(incident),
    expanded.has(incident.id) ? more(incident) : null,
  );
}

function keyButton(incident, key) {
  const focus = `${incident.id} ${key}`;
  return make("button", { type: "button", class: "key", "data-focus": focus, on: { click: () => choose(key) } }, foreign(named(key)));
}

function when(incident) {
  const opened = new Date(incident.opened);
  const ended = incident.resolved === null ? null : new Date(incident.resolved);
  const lasted = span(((ended ?? now()) - opened) / 1000);
  const state = say(`incident state ${incident.state}`);
  const since = make("time", { datetime: incident.opened, title: incident.opened }, moment(opened, now()));
  return [make("span", { class: "state" }, state), ` · `, since, ended ? ` – ${moment(ended, now())}` : null, ` · ${lasted}`];
}

function figures(incident) {
  const given = {
    observed: number(incident.observed),
    expected: number(incident.expected),
    window: span(incident.window_seconds),
    rarity: rarity(incident.chance_per_hour),
  };
  const told = say(`figures ${incident.kind}`, given);
  return incident.kind === "surge" ? `${told} ${say("publishers", { n: incident.publishers })}` : told;
}

/** Return what makes a surge, the largest share first; the shares sum to 100 %. */
function causes(explanation) {
  const names = { event: explanation.headline ?? "…", publisher: explanation.loudest_publisher };
  const shares = Object.entries(explanation.percent).filter(([, share]) => share !== 0);
  shares.sort(([, one], [, other]) => other - one);
  const told = shares.map(([cause, share], place) => [
    place ? " · " : "",
    make("span", { title: say(`about cause ${cause}`) }, say(`cause ${cause}`, { percent: percent(share / 100) })),
    names[cause] ? [" ", foreign(names[cause], 80)] : null,
  ]);
  const { stories, events } = explanation;
  return [`${say("causes")} `, told, events ? ` · ${say("events", { stories, n: events })}` : null];
}

function headlines(incident) {
  const shown = expanded.has(incident.id) ? incident.evidence : incident.evidence.slice(0, HEADLINES);
  return shown.length ? make("ul", { class: "evidence" }, byEvent(shown).map(([first, ...others]) => headline(first, others))) : null;
}

/** Bring stories about one happening together, in the order of the first of each. */
function byEvent(pieces) {
  const events = new Map();
  for (const piece of pieces) {
    const event = piece.event ?? piece.story;
    events.set(event, [...(events.get(event) ?? []), piece]);
  }
  return [...events.values()];
}

function headline(piece, others = []) {
  const published = new Date(piece.published);
  const spread = piece.copies > 1 ? ` · ${say("copies", { n: piece.copies, publishers: piece.publishers })}` : "";
  return make(
    "li",
    {},
    titled(piece.title, piece.link),
    make(
      "small",
      {},
      foreign(piece.publisher, 80),
      " · ",
      make("time", { datetime: piece.published, title: piece.published }, moment(published, now())),
      spread,
      " · ",
      make("span", { title: say("how negative") }, percent(piece.negative)),
    ),
    others.length ? make("ul", { class: "same-event", "aria-label": say("same event") }, others.map((other) => headline(other))) : null,
  );
}

function actions(incident) {
  const opened = expanded.has(incident.id);
  const left = incident.evidence.length - HEADLINES;
  const label = opened ? say("less") : left > 0 ? say("more headlines", { n: left }) : say("details");
  return make(
    "div",
    { class: "actions" },
    incident.state === "firing" ? button(incident, "ack", say("acknowledge"), () => acknowledge(incident.id)) : null,
    incident.acknowledged ? make("span", { class: "said" }, say("acknowledged by", { by: plain(incident.acknowledged.by, 64) })) : null,
    button(incident, "more", label, () => toggle(incident.id), { "aria-expanded": opened }),
    answers.has(incident.id) ? make("span", { class: "said", role: "status" }, answers.get(incident.id)) : null,
  );
}

function button(incident, what, label, press, given = {}) {
  const focus = `${incident.id} ${what}`;
  return make("button", { type: "button", class: what, "data-focus": focus, on: { click: press }, ...given }, label);
}

function more(incident) {
  const found = details.get(incident.id);
  return make(
    "div",
    { class: "detail" },
    make("p", {}, say("verdict question")),
    make(
      "div",
      { class: "choice", role: "group", "aria-label": say("verdict question") },
      VERDICTS.map((verdict) => button(incident, `verdict-${verdict}`, say(`verdict ${verdict}`), () => judge(incident.id, verdict))),
    ),
    found?.verdicts.length ? make("ul", {}, found.verdicts.map(verdictLine)) : null,
    found?.deliveries.length ? make("ul", { class: "deliveries" }, found.deliveries.map(deliveryLine)) : null,
    make("p", { class: "id" }, say("incident id", { id: incident.id })),
  );
}

const verdictLine = (one) =>
  make("li", {}, say("verdict given", { verdict: say(`verdict ${one.verdict}`), by: plain(one.by, 64), at: moment(new Date(one.at), now()) }));

const deliveryLine = (one) =>
  make("li", { class: one.state }, say(`delivery ${one.state}`, { target: plain(one.target, 64), change: say(`change ${one.change}`), reason: plain(one.reason) }));

function toggle(id) {
  if (!expanded.delete(id)) {
    expanded.add(id);
    loadDetail(id);
  }
  showIncidents();
}

async function loadDetail(id) {
  await trying(id, async () => {
    details.set(id, await ask(`/incidents/${encodeURIComponent(id)}`));
    return null;
  });
}

async function acknowledge(id) {
  await trying(id, async () => {
    takeIncident(await tell(`/incidents/${encodeURIComponent(id)}/ack`, {}));
    return say("noted");
  });
}

async function judge(id, verdict) {
  await trying(id, async () => {
    await tell(`/incidents/${encodeURIComponent(id)}/verdict`, { verdict });
    await loadDetail(id);
    return say("verdict noted");
  });
}

/** Do something about an incident, and show beside it what came of that. */
async function trying(id, work) {
  try {
    const answer = await work();
    if (answer !== null) answers.set(id, answer);
  } catch (error) {
    answers.set(id, error instanceof Refused ? say("refused", { why: plain(error.message) }) : say("no answer"));
  }
  showIncidents();
}
