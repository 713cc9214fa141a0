// The page: loads everything once the stream lives, keeps it up to date by what the stream tells, and says so where it
// cannot. Each part of the page has a file of its own; this one only brings them together.

import { hasToken, keepToken, quietly } from "./api.js";
import { at, settled } from "./dom.js";
import { learnNames, loadIncidents, setUpIncidents, showIncidents, takeIncident } from "./incidents.js";
import { foremost, loadKeys, markKey, setUpKeys, showFilters, showKeys } from "./keys.js";
import { loadSources, showSources } from "./sources.js";
import { showClock, showStatus, takeConnection, takePulse } from "./status.js";
import { follow } from "./stream.js";
import { chooseSubject, loadSubject, setUpSubject, showSubject, subject } from "./subject.js";
import { loadWords, say, switchLanguage } from "./words.js";

const OFTEN = 2_000; // milliseconds: no part is loaded more often

/** Return a function that loads at once, then at most every OFTEN milliseconds, and never misses the last call. */
function throttled(load) {
  let running = false;
  let again = false;
  return async () => {
    again = true;
    if (running) return;
    running = true;
    while (again) {
      again = false;
      await quietly(load());
      await new Promise((done) => setTimeout(done, OFTEN));
    }
    running = false;
  };
}

function came(keys) {
  learnNames(keys);
  showIncidents();
  showSubject();
  if (subject() === null && foremost() !== null) choose(foremost());
}

function choose(key) {
  markKey(key);
  quietly(chooseSubject(key));
}

const refresh = throttled(() => Promise.all([loadKeys(came), loadSubject(), loadSources()]));
const reload = throttled(() => Promise.all([loadIncidents(), loadKeys(came), loadSubject(), loadSources()]));

function told(kind, data) {
  if (kind === "pulse") {
    if (takePulse(data)) refresh();
    showSources();
  } else if (kind === "incident") {
    if (data.incident !== null) takeIncident(data.incident);
    refresh();
  }
}

async function changed(state, message) {
  if (takeConnection(state, message) && state === "live") reload();
  if (state === "denied") await login();
}

/** Ask for a token until there is one; the stream then tries it. */
function login() {
  const dialog = at("login");
  at("login-error").textContent = hasToken() ? say("token refused") : "";
  keepToken(null);
  if (!dialog.open) dialog.showModal();
  return new Promise((done) => {
    at("login-form").onsubmit = (event) => {
      event.preventDefault();
      keepToken(at("login-token").value.trim());
      at("login-token").value = "";
      dialog.close();
      done();
    };
  });
}

function showAll() {
  at("language").textContent = say("other language");
  showStatus();
  showFilters();
  showIncidents();
  showKeys();
  showSubject();
  showSources();
}

await loadWords();
setUpIncidents(choose);
setUpKeys(choose, came);
setUpSubject();
at("language").addEventListener("click", () => {
  switchLanguage();
  showAll();
});
at("login").addEventListener("cancel", (event) => event.preventDefault());
document.addEventListener("visibilitychange", settled(() => document.hidden || showAll(), 0));
setInterval(showClock, 1_000);
setInterval(showStatus, 15_000);
showAll();
await follow(told, changed);
