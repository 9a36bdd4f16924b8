// The public API. Every request has a deadline, and what goes wrong is a Problem.

const DEADLINE_MS = 10_000;

/** status: 0 where there was no answer at all; key: whether a key is wanted. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
    this.key = status === 401;
  }
}

/** The JSON of `path`; parameters that are undefined are left out. */
export function get(path, parameters = {}) {
  return ask(path + query(parameters), { method: "GET" });
}

export function post(path, body) {
  const headers = { "Content-Type": "application/json", ...keyHeader() };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

export function remove(path, parameters) {
  return ask(path + query(parameters), { method: "DELETE", headers: keyHeader() });
}

export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function ask(address, options) {
  const headers = { Accept: "application/json", ...options.headers };
  const signal = AbortSignal.timeout(DEADLINE_MS);
  let answer;
  let body;
  try {
    answer = await fetch(address, { ...options, headers, signal, cache: "no-cache" });
    body = await answer.json();
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Problem(answer?.status ?? 0, late ? "No answer in time." : "No answer.");
  }
  if (!answer.ok) throw new Problem(answer.status, String(body.detail ?? answer.statusText));
  return body;
}

// The key lives as long as this tab, and goes nowhere but into the header of a write.
export function useKey(key) {
  try {
    sessionStorage.setItem("candlekeep.key", key);
  } catch {
    kept = key;
  }
}

let kept = "";

function keyHeader() {
  let key = kept;
  try {
    key = sessionStorage.getItem("candlekeep.key") ?? kept;
  } catch {
    // Storage may be forbidden.
  }
  return key ? { "X-API-Key": key } : {};
}
