// What stands in place of a chart where there is nothing to draw.

import { at, say } from "./page.js";

export function hideEmpty() {
  at("empty").hidden = true;
}

/** problem: why the service does not answer, or null; active: whether the series is being built. */
export function showInstead(series, problem, active) {
  if (problem && series.refused) show("This cannot be shown", problem.message, false);
  else if (series.loaded && !series.candles.rows.length)
    showNothing(series.choice, active, series.hint);
  else hideEmpty();
}

function showNothing({ exchange, symbol, source }, active, hint) {
  if (active) show("Nothing has closed yet", hint, false);
  else show("Not being built", `${symbol} (${source}) has no candles on ${exchange}.`, true);
}

function show(title, text, offer) {
  say(at("empty-title"), title);
  say(at("empty-text"), text);
  at("empty-start").hidden = !offer;
  at("empty").hidden = false;
}
