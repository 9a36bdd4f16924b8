// Which series and interval is on show. Remembered in the address, and in the browser.

import { get } from "./api.js";
import { lengthOf } from "./format.js";
import { recall, remember } from "./page.js";

const EVERY = "*";
const MOST = 200;
const KEEP_MS = 60_000;
const LONGER = ["15m", "30m", "1h", "4h", "1d"];

/** Stored intervals and the usual longer ones, shortest first. */
export function intervalsOf(stored) {
  const all = new Set([...stored, ...LONGER]);
  return [...all].toSorted((one, other) => lengthOf(one) - lengthOf(other));
}

/** Every series that was ever subscribed: exchange, source, symbol and whether it is active now; of
 * feeds of which all symbols are built, those with candles. Problem where they are not told. */
export async function knownSeries(subscriptions = []) {
  const found = new Map();
  for (const { exchange, source, symbol, until } of subscriptions) {
    const active = until === null;
    const symbols = symbol !== EVERY ? [symbol] : active ? await builtOf(exchange, source) : [];
    for (const one of symbols) {
      const key = `${exchange}/${source}/${one}`;
      const already = found.get(key)?.active ?? false;
      found.set(key, { exchange, source, symbol: one, active: active || already });
    }
  }
  return [...found.values()];
}

const told = new Map();

async function builtOf(exchange, source) {
  const key = `${exchange}/${source}`;
  if (Date.now() - (told.get(key)?.at ?? 0) > KEEP_MS) {
    const { data } = await get("/candlesticks/latest", { exchange, source, limit: MOST });
    told.set(key, { at: Date.now(), symbols: data.map((row) => row.symbol) });
  }
  return told.get(key).symbols;
}

/** Whether two are of one series, of whatever interval. */
export function same(one, other) {
  return (
    one.exchange === other.exchange && one.symbol === other.symbol && one.source === other.source
  );
}

/** What to show at first: what the address says, what was shown last, else the first series that
 * is built, of `trades` where it is built of both. */
export function firstChoice(series, index) {
  const intervals = intervalsOf(index.intervals);
  const said = parse(location.hash.slice(1), intervals) ?? parse(recall("choice") ?? "", intervals);
  if (said) return said;
  const active = series.filter((one) => one.active);
  const first = active[0] ?? {
    exchange: index.exchanges[0],
    symbol: "BTC_USDT",
    source: index.sources.at(-1),
  };
  const exact = active.find((one) => same(one, { ...first, source: "trades" }));
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
  if (words.length !== 4 || !exchange || !symbol || !source || !intervals.includes(interval))
    return null;
  return { exchange, symbol, source, interval };
}

export function keep({ exchange, symbol, source, interval }) {
  const text = [exchange, symbol, source, interval].map(encodeURIComponent).join("/");
  remember("choice", text);
  history.replaceState(null, "", `#${text}`);
}
