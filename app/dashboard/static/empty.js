// What stands in place of a chart where there is nothing to draw.

import { at, say } from "./page.js";

export function hideEmpty() {
  at("empty").hidden = true;
}

/** problem: why the service refuses to answer. */
export function showRefused(problem) {
  show("This cannot be shown", problem.message, false);
}

/** active: whether the series is being built; hint: what the service says about it. */
export function showNothing({ exchange, symbol, source }, active, hint) {
  if (active) show("Nothing has closed yet", hint, false);
  else show("Not being built", `${symbol} (${source}) has no candles on ${exchange}.`, true);
}

function show(title, text, offer) {
  say(at("empty-title"), title);
  say(at("empty-text"), text);
  at("empty-start").hidden = !offer;
  at("empty").hidden = false;
}
