// Building the document. Text only ever becomes text: nothing here, or anywhere on the page, parses HTML.

/** Return the element with this id. */
export const at = (id) => document.getElementById(id);

/**
 * Return a new element. `props` are attributes; `on` in it maps events to listeners; one that is null or false is left
 * out. Children are elements, texts, or lists of them; null and false are left out.
 */
export function make(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name.startsWith("aria-") && value !== null) element.setAttribute(name, String(value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace what is in an element, unless it would look the same: what has the focus keeps it. */
export function fill(element, ...children) {
  const next = make(element.tagName, {}, ...children);
  if (next.isEqualNode(bare(element))) return;
  const held = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  element.replaceChildren(...next.childNodes);
  if (held !== undefined) element.querySelector(`[data-focus="${CSS.escape(held)}"]`)?.focus();
}

function bare(element) {
  const copy = document.createElement(element.tagName);
  copy.append(...[...element.childNodes].map((node) => node.cloneNode(true)));
  return copy;
}

// Characters that are not seen but change what is: controls, and those that turn the direction of writing.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Return foreign text as one line without anything that is not seen, cut to `limit` characters. */
export function plain(text, limit = 300) {
  const line = Array.from(String(text ?? "").replace(/\s+/g, " ").replace(UNSEEN, "").trim());
  return line.length > limit ? `${line.slice(0, limit - 1).join("")}…` : line.join("");
}

/** Return foreign text as an element that keeps its direction of writing to itself. */
export const foreign = (text, limit) => make("bdi", { dir: "auto" }, plain(text, limit));

/** Return the address if it may be offered as a link: http or https, and nothing that hides where it leads. */
export function webLink(address) {
  if (typeof address !== "string" || address.length > 2000) return null;
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  const open = (url.protocol === "https:" || url.protocol === "http:") && !url.username && !url.password;
  return open ? url.href : null;
}

/** Return a foreign title, as a link where it has an address that may be offered. */
export function titled(title, address) {
  const href = webLink(address);
  if (href === null) return foreign(title);
  return make("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, foreign(title));
}

/** Return a function that calls `work` once, `wait` milliseconds after the last of a row of calls. */
export function settled(work, wait) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, wait);
  };
}
