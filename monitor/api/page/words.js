// The two languages: texts, and how numbers, times and spans are said.

import { plain } from "./dom.js";

const LANGUAGES = ["en", "zh"];
const KEPT = "newsquake.language";
const texts = {};
let language = "en";

/** Load the texts and choose: what was chosen here before, else what the browser asks for, else English. */
export async function loadWords() {
  for (const each of LANGUAGES) texts[each] = await (await fetch(`/page/texts/${each}.json`)).json();
  const asked = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => LANGUAGES.includes(tag));
  choose(LANGUAGES.includes(remembered()) ? remembered() : asked ?? "en");
}

/** Return the language of the page. */
export const spoken = () => language;

/** Change to the other language, and remember it. */
export function switchLanguage() {
  choose(language === "en" ? "zh" : "en");
  try {
    localStorage.setItem(KEPT, language);
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}

function remembered() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function choose(chosen) {
  language = chosen;
  document.documentElement.lang = chosen === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
    if (element.type === "search") element.placeholder = say(element.dataset.label);
  }
}

/** Return a text, with `{name}`s filled in; `n` chooses between its forms for one and for several. */
export function say(name, given = {}) {
  const entry = texts[language][name];
  const pattern = typeof entry === "object" ? entry[new Intl.PluralRules(language).select(given.n)] ?? entry.other : entry;
  return pattern.replace(/\{(\w+)\}/g, (_, field) => given[field]);
}

/** Return the word for a name that the daemon gives (a topic, a state), or the name itself where there is none. */
export const wordFor = (kind, name) => texts[language][`${kind} ${name}`] ?? plain(name, 80);

/** Return what a key is called. */
export function keyName(key, names = {}) {
  if (names[language]) return names[language];
  const called = key.split("×").map((part) => {
    const [, kind, name] = /^(\w+):(.*)$/s.exec(part) ?? [null, part, ""];
    if (kind === "topic") return wordFor("topic", name);
    if (kind === "source") return say("source named", { name });
    return name || wordFor("kind", kind);
  });
  return Object.values(names)[0] ?? called.join(" × ");
}

/** Return a number as people say it: two figures below 10, whole above. */
export function number(value) {
  if (value > 0 && value < 0.01) return say("less than", { n: 0.01 });
  const digits = value >= 9.95 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 2 };
  return new Intl.NumberFormat(language, digits).format(value);
}

/** Return a whole number. */
export const count = (value) => new Intl.NumberFormat(language).format(value);

/** Return a share, 0 to 1, in percent. */
export const percent = (value) => new Intl.NumberFormat(language, { style: "percent" }).format(value);

/** Return a span of seconds: `40 s`, `15 min`, `6 h`, `3 d`. */
export function span(seconds) {
  if (seconds < 60) return say("seconds", { n: Math.max(0, Math.round(seconds)) });
  if (seconds < 3600) return say("minutes", { n: Math.round(seconds / 60) });
  if (seconds < 172800) return say("hours", { n: number(seconds / 3600) });
  return say("days", { n: number(seconds / 86400) });
}

/** Return how often something comes that has this many chances in an hour: `once in 3 years`. */
export function rarity(chance) {
  if (chance <= 0) return say("never");
  const hours = 1 / chance;
  const years = hours / 8766;
  if (years > 1e6) return say("once in a million years");
  const [value, unit] = years >= 1 ? [years, "years"] : hours >= 24 ? [hours / 24, "days"] : [Math.max(hours, 1), "hours"];
  const whole = Math.round(value);
  const step = 10 ** Math.max(String(whole).length - 2, 0);
  return say(`once in ${unit}`, { n: Math.round(whole / step) * step, shown: count(Math.round(whole / step) * step) });
}

const CLOCK = { hour: "2-digit", minute: "2-digit", hour12: false };
const DATE = { month: "short", day: "numeric", ...CLOCK };

/** Return a moment: the time of day, with the date where it is not `today`'s. */
export function moment(date, today) {
  const same = date.toDateString() === today.toDateString();
  return new Intl.DateTimeFormat(language, same ? CLOCK : DATE).format(date);
}

/** Return a moment to the second, with its zone. */
export const exact = (date) =>
  new Intl.DateTimeFormat(language, { ...CLOCK, second: "2-digit", timeZoneName: "short" }).format(date);

/** Return a moment for an axis of a chart. */
export function tickLabel(date, daily) {
  const form = daily || (date.getHours() === 0 && date.getMinutes() === 0) ? { month: "short", day: "numeric" } : CLOCK;
  return new Intl.DateTimeFormat(language, form).format(date);
}
