// The keys, by mood: what surges, is blind or still learns comes first, then the most negative.

import { ask, quietly } from "./api.js";
import { at, fill, foreign, make, settled } from "./dom.js";
import { count, keyName, number, say, wordFor } from "./words.js";

const PAGE = 50;
const LARGEST = 200; // rows the daemon gives at once
const STATES = ["surge", "blind", "learning", "calm", "unwatched"];
const GROUPS = ["entity", "topic", "source", "all", "entity×topic"];
const HOUR = 3600;

let keys = [];
let next = null;
let chosen = null;
let choose = () => {};
let asked = 0; // the number of the last question: an answer to an earlier one is left aside

/** Prepare search and paging; `onChoice(key)` is called where a key is chosen, `onKeys(keys)` where keys came. */
export function setUpKeys(onChoice, onKeys) {
  choose = onChoice;
  const reload = () => quietly(loadKeys(onKeys, { anew: true }));
  at("keys-search").addEventListener("submit", (event) => {
    event.preventDefault();
    reload();
  });
  at("keys-query").addEventListener("input", settled(reload, 250));
  for (const id of ["keys-state", "keys-group"]) at(id).addEventListener("change", reload);
  at("keys-more").addEventListener("click", () => quietly(loadKeys(onKeys, { further: true })));
}

/** Put the words of the language into the filters. */
export function showFilters() {
  options(at("keys-state"), [["", say("every state")], ...STATES.map((state) => [state, wordFor("state", state)])]);
  options(at("keys-group"), [["", say("every kind")], ...GROUPS.map((group) => [group, wordFor("kind", group)])]);
}

function options(select, entries) {
  const { value } = select;
  fill(select, entries.map(([value_, label]) => make("option", { value: value_ }, label)));
  select.value = value;
}

/** Load the keys again, as many as are shown; `anew` begins with one page, `further` adds one. */
export async function loadKeys(onKeys, { anew = false, further = false } = {}) {
  const question = ++asked;
  const wanted = anew ? PAGE : further ? keys.length + PAGE : Math.max(keys.length, PAGE);
  const found = [];
  let cursor = null;
  do {
    const page = await ask("/keys", {
      order: "mood",
      q: at("keys-query").value.trim(),
      state: at("keys-state").value,
      group: at("keys-group").value,
      limit: Math.min(wanted - found.length, LARGEST),
      cursor,
    });
    if (question !== asked) return;
    found.push(...page.keys);
    cursor = page.next;
  } while (cursor !== null && found.length < wanted);
  keys = found;
  next = cursor;
  onKeys(keys);
  showKeys();
}

/** Mark the key that is looked at. */
export function markKey(key) {
  chosen = key;
  showKeys();
}

/** Return the key the list begins with, or null. */
export const foremost = () => keys[0]?.key ?? null;

/** Return a key as the list has it, or undefined. */
export const listed = (key) => keys.find((each) => each.key === key);

/** Show the list. */
export function showKeys() {
  fill(at("keys-list"), keys.length ? [columns(), keys.map(row)] : make("li", { class: "nothing" }, say("no keys")));
  at("keys-more").hidden = next === null;
  at("keys-count").textContent = keys.length ? `${count(keys.length)}${next === null ? "" : "+"}` : "";
  for (const bar of at("keys-list").querySelectorAll(".mood i")) {
    const mood = Number(bar.dataset.mood);
    bar.style.setProperty("--from", String(Math.min(0, mood)));
    bar.style.setProperty("--size", String(Math.abs(mood)));
  }
}

const columns = () =>
  make(
    "li",
    { class: "columns", "aria-hidden": "true" },
    make("span", { class: "day" }, say("column day")),
    make("span", { class: "hour" }, say("column hour")),
    make("span", { class: "moods" }, say("column mood")),
  );

function row(key) {
  const hour = key.windows.find((window) => window.seconds === HOUR);
  const press = () => choose(key.key);
  return make(
    "li",
    {},
    make(
      "button",
      { type: "button", class: `row ${key.state}`, "aria-current": chosen === key.key ? "true" : null, "data-focus": key.key, "data-key": key.key, on: { click: press } },
      make("span", { class: "mark" }, wordFor("state", key.state)),
      make("span", { class: "name" }, foreign(keyName(key.key, key.names))),
      make("span", { class: "group" }, wordFor("kind", key.group)),
      mood(key.day.mood),
      make("span", { class: "day", title: say("of the day") }, say("negative of", { negative: count(key.day.negative), stories: count(key.day.stories) })),
      make("span", { class: "hour", title: say("of the hour") }, hour ? say("beside", { observed: number(hour.negative), expected: number(hour.expected) }) : "–"),
    ),
  );
}

function mood(value) {
  if (value === null) return make("span", { class: "mood none", title: say("no mood") });
  const shown = new Intl.NumberFormat(document.documentElement.lang, { signDisplay: "exceptZero", maximumFractionDigits: 2, minimumFractionDigits: 2 }).format(value);
  return make("span", { class: `mood ${value < 0 ? "bad" : "good"}`, title: say("mood", { mood: shown }) }, make("i", { "data-mood": value }), make("span", { class: "unseen" }, say("mood", { mood: shown })));
}
