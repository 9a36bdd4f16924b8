// What there is to say about one window, in words: for the mouse, the keyboard and screen readers.

import { isCandle, kindOf } from "./candles.js";
import { causeText, clock, moment, percent, reasonText } from "./format.js";
import { at, make } from "./page.js";

/** row: of the series on show, or null; zone: of the axis; cause: of its correction, if known. */
export function showLegend(row, zone, cause) {
  const parts = row
    ? [when(row, zone), ...(isCandle(row) ? candle(row) : []), state(row, cause)]
    : [];
  at("legend").replaceChildren(...parts.filter(Boolean));
}

/** What a correction has changed. replaced: what was on show of its window, if anything was. */
export function correctionText(row, replaced, zone) {
  const seconds = row.close_time - row.open_time < 59_999;
  const candle = `${row.symbol} ${row.interval} of ${moment(row.open_time, zone, seconds)}`;
  const why = causeText(row.cause);
  if (row.revision === 1) return `${candle} has a candle after all: close ${row.close} (${why}).`;
  const changed = replaced?.close && replaced.close !== row.close;
  const close = changed ? `close ${replaced.close}, now ${row.close}` : `close ${row.close}`;
  return `${candle} corrected: ${close} (${why}), revision ${row.revision}.`;
}

/** The window in the zone of the axis, and when it opened in the other one. */
function when(row, zone) {
  const seconds = row.close_time - row.open_time < 59_999;
  const end = clock(row.close_time + 1, zone, seconds);
  const window = `${moment(row.open_time, zone, seconds)}–${end}`;
  const other = zone === "UTC" ? undefined : "UTC";
  const differs = new Date(row.open_time).getTimezoneOffset() !== 0;
  const also = ` (${clock(row.open_time, other, seconds)} ${other ?? "here"})`;
  return make("span", "when", `${window} ${zone ?? ""}${differs ? also : ""}`);
}

function candle(row) {
  const side = Number(row.close) < Number(row.open) ? "down" : "up";
  const pairs = [
    ["O", row.open],
    ["H", row.high],
    ["L", row.low],
    ["C", row.close],
  ];
  if (row.volume !== null) pairs.push(["V", row.volume]);
  pairs.push([row.source === "ticker" ? "samples" : "trades", String(row.tick_count)]);
  return pairs.map(([name, value]) => {
    const number = make("b", "OHLC".includes(name) ? side : "", value);
    return make("span", "pair", make("i", "", name), " ", number);
  });
}

function state(row, cause) {
  const kind = kindOf(row);
  const words = [];
  if (kind === "open") words.push("still forming");
  if (kind === "partial") words.push(`${percent(row.coverage)} observed`);
  if (kind === "gap") words.push("no candle: not observed");
  if (kind === "no_trade") words.push("no candle: observed, and no trade happened");
  if (row.reasons.length && kind !== "open") words.push(reasonText(row.reasons));
  if (row.origin === "exchange") words.push("made with the exchange's own candles");
  if (row.revision > 1 && row.closed)
    words.push(`revision ${row.revision}${cause ? ` (${causeText(cause)})` : ""}`);
  return words.length ? make("span", `state ${kind}`, words.join(" · ")) : null;
}
