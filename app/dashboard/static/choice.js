// Which series and interval is on show, and where that is remembered: the address, then the browser.

import { lengthOf } from "./format.js";
import { recall, remember } from "./page.js";

const LONGER = ["15m", "30m", "1h", "4h", "1d"];

/** Stored intervals and the usual longer ones, shortest first. */
export function intervalsOf(stored) {
  const all = new Set([...stored, ...LONGER]);
  return [...all].toSorted((one, other) => lengthOf(one) - lengthOf(other));
}

/** Every series that was ever subscribed: exchange, source, symbol and whether it is active now. */
export function seriesOf(subscriptions) {
  const found = new Map();
  for (const { exchange, source, symbol, until } of subscriptions ?? []) {
    if (symbol === "*") continue;
    const key = `${exchange}/${source}/${symbol}`;
    const active = until === null || (found.get(key)?.active ?? false);
    found.set(key, { exchange, source, symbol, active });
  }
  return [...found.values()];
}

/** Feeds of which every symbol is built. */
export function wholeFeeds(subscriptions) {
  return (subscriptions ?? []).filter((row) => row.symbol === "*" && row.until === null);
}

/** What to show at first: what the address says, what was shown last, else the first series that
 * is built, of `trades` where it is built of both. */
export function firstChoice(series, index) {
  const intervals = intervalsOf(index.intervals);
  const said = parse(location.hash.slice(1), intervals) ?? parse(recall("choice") ?? "", intervals);
  if (said) return said;
  const active = series.filter((one) => one.active);
  const first = active[0] ?? { exchange: index.exchanges[0], symbol: "BTC_USDT", source: index.sources.at(-1) };
  const exact = active.find(({ exchange, symbol, source }) =>
    exchange === first.exchange && symbol === first.symbol && source === "trades");
  const { exchange, symbol, source } = exact ?? first;
  return { exchange, symbol, source, interval: index.intervals[0] };
}

export function parse(text, intervals) {
  let words = [];
  try {
    words = text.split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
  const [exchange, symbol, source, interval] = words;
  if (words.length !== 4 || !exchange || !symbol || !source || !intervals.includes(interval)) return null;
  return { exchange, symbol, source, interval };
}

export function keep({ exchange, symbol, source, interval }) {
  const text = [exchange, symbol, source, interval].map(encodeURIComponent).join("/");
  remember("choice", text);
  history.replaceState(null, "", `#${text}`);
}
