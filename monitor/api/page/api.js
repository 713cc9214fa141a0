// Asking the daemon. Everything goes to the address the page came from; a token, where one is needed, is kept for this
// tab only and sent as a header, never as a cookie, so that no other site can make a browser use it.

const KEPT = "newsquake.token";
const BASE = "/api/v1";

/** The daemon answered, and it was no. `status` is the HTTP status. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Keep the token for this tab; null forgets it. */
export function keepToken(token) {
  if (token === null) sessionStorage.removeItem(KEPT);
  else sessionStorage.setItem(KEPT, token);
}

/** Return whether there is a token. */
export const hasToken = () => sessionStorage.getItem(KEPT) !== null;

/** Send a request and return the response. Throws Refused for an error answer, TypeError where there is none. */
export async function send(path, { body, headers = {}, ...options } = {}) {
  const token = sessionStorage.getItem(KEPT);
  const given = { ...headers };
  if (token !== null) given.authorization = `Bearer ${token}`;
  if (body !== undefined) given["content-type"] = "application/json";
  const response = await fetch(BASE + path, {
    ...options,
    headers: given,
    method: body === undefined ? "GET" : "POST",
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    throw new Refused(response.status, told.error?.message ?? response.statusText);
  }
  return response;
}

/** Ask for a value; `query` holds its parameters, of which null ones are left out. */
export async function ask(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  return (await send(path + search)).json();
}

/** Wait for what is loaded. Where it fails it is left as it was: the stream goes the same way, and tells. */
export async function quietly(loading) {
  try {
    await loading;
  } catch (error) {
    if (!(error instanceof Refused) && !(error instanceof TypeError)) throw error;
  }
}

/** Hand something over, and return the answer. */
export const tell = async (path, body) => (await send(path, { body })).json();
