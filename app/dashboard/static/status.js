// How the service is: feeds, coverage of the last hours, agreement, what is stored.

import { get } from "./api.js";
import { kindOf } from "./candles.js";
import { bytes, clock, duration, moment, percent, reasonText } from "./format.js";
import { at, make, say } from "./page.js";
import { zone } from "./settings.js";

const STRIP_MS = 12 * 3_600_000;
const CELL_MS = 600_000;
const MOST_NOTES = 4;
const SLOW_MS = 5000;

/** status: of GET /status, with the newer feeds of the stream in it. */
export function showFeeds(status) {
  const feeds = status.feeds.map(feedOf);
  if (!feeds.length) feeds.push(make("p", "quiet", roleText(status.role)));
  const trouble = status.loops.filter((loop) => !loop.working);
  for (const loop of trouble)
    feeds.push(make("p", "trouble", `${loop.name}: ${loop.error ?? "does not answer"}`));
  const database = status.database;
  if (database.state !== "ok")
    feeds.push(make("p", "trouble", `database ${database.state}: ${database.error}`));
  at("feeds").replaceChildren(...feeds);
  say(at("version"), `Candlekeep ${status.version}, ${status.role}`);
}

/** Put what the stream tells of feeds into a status. */
export function mergeFeeds(status, { role, feeds }) {
  const newer = new Map(feeds.map((feed) => [`${feed.exchange}/${feed.source}`, feed]));
  status.role = role;
  status.feeds = status.feeds.map((feed) => ({
    ...feed,
    ...newer.get(`${feed.exchange}/${feed.source}`),
  }));
}

function roleText(role) {
  if (role === "standby") return "Another process builds; this one only reads.";
  return "No feed is running here.";
}

function feedOf(feed) {
  const good = ["polling", "streaming", "idle"].includes(feed.state) && !feed.database_error;
  const dot = make("i", `dot ${good ? "good" : "bad"}`);
  const head = make(
    "p",
    "feed",
    dot,
    make("b", "", `${feed.exchange} ${feed.source}`),
    ` ${feed.state}`,
  );
  const lag = feed.lag_ms ?? null;
  if (lag !== null)
    head.append(make("span", `lag number${lag > SLOW_MS ? " slow" : ""}`, `lag ${duration(lag)}`));
  const box = make("div", "", head);
  const counts = [
    [total(feed.errors), "failed requests"],
    [feed.late_ticks, "late ticks"],
    [feed.revised, "corrections"],
    [total(feed.rejected), "rejected"],
    [feed.conflicts, "conflicts"],
  ].filter(([count]) => count > 0);
  if (counts.length)
    box.append(make("p", "counts", counts.map(([count, name]) => `${count} ${name}`).join(" · ")));
  if (feed.last_error) box.append(make("p", good ? "counts" : "trouble", errorText(feed)));
  if (feed.database_error) box.append(make("p", "trouble", `database: ${feed.database_error}`));
  if (feed.history_error) box.append(make("p", "counts", `history: ${feed.history_error}`));
  return box;
}

function errorText(feed) {
  const when = feed.last_error_time ? ` at ${moment(feed.last_error_time, zone(), true)}` : "";
  const retry =
    feed.retry_at && feed.retry_at > Date.now()
      ? `; next try in ${duration(feed.retry_at - Date.now())}`
      : "";
  return `last error${when}: ${feed.last_error}${retry}`;
}

function total(counts) {
  return Object.values(counts ?? {}).reduce((sum, count) => sum + count, 0);
}

/** What was observed of a series: windows of ten minutes. series: exchange, symbol, source;
 * wanted(): whether it still is the one on show, here and below. */
export async function showCoverage(series, now, wanted) {
  const start = Math.floor((now - STRIP_MS) / CELL_MS) * CELL_MS;
  const asked = { ...series, interval: "10m", start, fill: "null", limit: 100, include_open: 1 };
  const { data } = await get("/candlesticks", asked);
  if (!wanted()) return;
  const rows = new Map(data.map((row) => [row.open_time, row]));
  const cells = [];
  for (let time = start; time <= now; time += CELL_MS) cells.push(cell(rows.get(time), time));
  at("coverage-strip").replaceChildren(...cells);
  const closed = data.filter((row) => row.closed);
  const share = closed.reduce((sum, row) => sum + row.coverage, 0) / closed.length;
  say(at("coverage-share"), closed.length ? percent(share) : "");
  const words = closed.length
    ? `${percent(share)} of ${closed.length} windows of 10 minutes`
    : "nothing closed yet";
  at("coverage-strip").setAttribute("aria-label", words);
  showLacks(closed.filter((row) => row.coverage < 1));
}

function cell(row, time) {
  const kind = row ? kindOf(row) : "none";
  const found = make("i", `cell ${kind}`);
  const why = !row
    ? "nothing known"
    : kind === "open"
      ? "still forming"
      : `${percent(row.coverage)} ${reasonText(row.reasons)}`;
  found.title = `${clock(time, zone())} ${why}`;
  if (row && row.closed && row.coverage < 1)
    found.style.setProperty("--seen", String(row.coverage));
  return found;
}

/** For who sees no colors and has no mouse; neighbors that lack the same are one. */
function showLacks(rows) {
  const stretches = [];
  for (const row of rows) {
    const last = stretches.at(-1);
    const joins =
      last?.end === row.open_time &&
      last.coverage === row.coverage &&
      String(last.reasons) === String(row.reasons);
    if (joins) last.end = row.close_time + 1;
    else stretches.push({ ...row, end: row.close_time + 1 });
  }
  const notes = stretches.toReversed().slice(0, MOST_NOTES).map(lackOf);
  const more = stretches.length - notes.length;
  if (more) notes.push(make("li", "", `and ${more} more before`));
  at("coverage-text").replaceChildren(...notes);
}

function lackOf({ open_time: start, end, coverage, reasons }) {
  const seen = coverage ? percent(coverage) : "nothing";
  return make(
    "li",
    "",
    `${clock(start, zone())}–${clock(end, zone())}: ${seen} (${reasonText(reasons)})`,
  );
}

/** How far closed candles of a series say the same as the exchange's own. */
export async function showAgreement({ exchange, symbol, source }, wanted) {
  const { data, meta } = await get("/agreement", { exchange, symbol, source });
  if (!wanted()) return;
  const counts = new Map();
  for (const row of data.filter((one) => one.compared)) {
    const sum = counts.get(row.interval) ?? [0, 0];
    counts.set(row.interval, [sum[0] + row.matching, sum[1] + row.compared]);
  }
  const lines = [...counts].map(([interval, [matching, compared]]) =>
    make(
      "p",
      "agree",
      make("b", "", interval),
      make("span", "bar", bar(matching / compared)),
      make("span", "number", percent(matching / compared)),
      make("span", "counts", `of ${compared}`),
    ),
  );
  const why = meta.hint ? "Nothing was compared in the last week." : "Nothing was compared yet.";
  if (!lines.length) lines.push(make("p", "quiet", why));
  else if (source === "ticker")
    lines.push(make("p", "counts", "Prices only: samples see fewer trades."));
  at("agreement").replaceChildren(...lines);
}

function bar(share) {
  const found = make("i");
  found.style.setProperty("--share", String(share));
  return found;
}

/** From when to when a series is stored, and how much there is of everything. */
export async function showStored({ exchange, symbol, source }, interval, status, wanted) {
  const asked = { exchange, symbol, source, interval, limit: 1 };
  const [first, last] = await Promise.all([
    get("/candlesticks", { ...asked, start: 0 }),
    get("/candlesticks", asked),
  ]);
  if (!wanted()) return;
  const facts = [];
  if (first.data[0] && last.data[0]) {
    facts.push(
      [`${symbol} from`, moment(first.data[0].open_time, zone())],
      ["to", moment(last.data[0].close_time + 1, zone())],
    );
  } else {
    facts.push([symbol, "nothing yet"]);
  }
  if (status.series !== undefined) facts.push(["series", String(status.series)]);
  facts.push(["tick log", bytes(status.log_bytes)]);
  at("stored").replaceChildren(
    ...facts.flatMap(([name, value]) => [make("dt", "", name), make("dd", "number", value)]),
  );
}
