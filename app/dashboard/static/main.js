// The dashboard: brings the parts together. Each of them knows nothing of the others.

import { Problem, get } from "./api.js";
import { Building } from "./building.js";
import { Chart } from "./chart.js";
import { firstChoice, intervalsOf, keep, knownSeries, parse, same } from "./choice.js";
import { Connection } from "./connection.js";
import { control } from "./controls.js";
import { hideEmpty, showInstead } from "./empty.js";
import { correctionText, showLegend } from "./legend.js";
import { tell } from "./news.js";
import { at, press, say } from "./page.js";
import { Picker } from "./picker.js";
import { Series } from "./series.js";
import { zone } from "./settings.js";
import { Side } from "./side.js";
import { readFirst } from "./starting.js";
import { mergeFeeds, showFeeds } from "./status.js";
import { Stream } from "./stream.js";
import { View, showPrice } from "./view.js";
import { observe } from "./visibility.js";
import { Watch } from "./watch.js";

const STATUS_MS = 5000;
const TAIL_MS = 5000;
const MOST_MISSED = 3;
const SLOW_MS = 60_000;
const MOST_CAUSES = 1000;

let index = null;
let status = null;
let choice = null;
let known = [];
let cursor = null;
let reading = null;
const causes = new Map();

const chart = new Chart(at("chart"), {
  onCursor: (row) => legend(row),
  onBeginning: () => series.older(),
  onMoved: (atEnd) => {
    at("newest").hidden = atEnd;
  },
});
const view = new View(chart);
const stream = new Stream(heard, connected);
const connection = new Connection(() => stream.retry());
const series = new Series(stream, {
  onLoaded: loaded,
  onChange: changed,
  onCorrection: corrected,
  onProblem: (problem) => showEmpty(problem),
});
const watch = new Watch((one) => choose({ ...one, interval: choice.interval }));
const side = new Side(watch);
const picker = new Picker(
  () => known,
  (one) => choose({ ...one, interval: choice.interval }),
);
const building = new Building(async (started) => {
  // One that is on its way may not know of it yet.
  await reading;
  await readStatus();
  if (started) choose({ ...started, interval: choice.interval });
});

// What is heard and read

function heard(kind, data) {
  if (kind === "status") {
    mergeFeeds(status, data);
    statusChanged();
  } else if (kind === "reset") {
    tell(
      "note",
      `Candles may have been missed (${data.detail ?? data.reason}): they are read again.`,
    );
    series.load();
  } else {
    series.event(kind, data);
    if (kind !== "correction") {
      watch.price(data, data.close, data.last_tick_time ?? data.close_time);
      showNow();
    }
  }
}

function connected(state) {
  connection.stream(state);
  if (state.state !== "live") return;
  // Where nothing was heard before, nothing tells from where to go on.
  if (state.resumed) series.tail();
  else if (state.again || series.unheard) series.load();
  if (state.again) readStatus();
}

/** Asked for more often than it is answered, one answer is for all. */
function readStatus() {
  reading ??= askStatus().finally(() => (reading = null));
  return reading;
}

async function askStatus() {
  try {
    status = await get("/status");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    connection.answers(false);
    stream.suspect();
    return;
  }
  if (connection.answers(true)) stream.retry();
  statusChanged();
  await readKnown();
}

async function readKnown() {
  // Where the database is away, what was known of it stays.
  if (!status.subscriptions) return;
  const before = JSON.stringify(known);
  try {
    known = await knownSeries(status.subscriptions);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return;
  }
  if (choice && before !== JSON.stringify(known)) showSeries();
}

function statusChanged() {
  showFeeds(status);
  if (!choice) return;
  connection.feed(feed());
}

function feed() {
  return status.feeds.find(
    ({ exchange, source }) => exchange === choice.exchange && source === choice.source,
  );
}

function closedThrough() {
  return feed()?.closed_through ?? undefined;
}

// What is on show

function choose(wanted) {
  choice = wanted;
  keep(choice);
  cursor = null;
  causes.clear();
  side.stop();
  hideEmpty();
  for (const button of at("intervals").children)
    press(button, button.textContent === choice.interval);
  showSeries();
  chart.show([]);
  const also = watch.symbols(choice.exchange, choice.source);
  return series.choose(choice, index.intervals, also).then(() => {
    if (choice === wanted) showSlow();
  });
}

function showSeries() {
  say(at("pick-symbol"), choice.symbol);
  say(at("pick-source"), choice.source);
  say(at("kind"), choice.source === "ticker" ? "samples: polled prices, no volume" : "");
  building.show(choice, isActive(), index.sources);
  watch.show(
    known.filter((one) => one.active),
    choice,
  );
  showNow();
}

function isActive() {
  return known.some((one) => one.active && same(one, choice));
}

function loaded() {
  view.begin(series.candles.rows);
  tellPrice();
  showEmpty(null);
  showNow();
  legend(cursor);
  document.body.dataset.loaded = "yes";
  performance.mark("first chart");
}

/** What is drawn may be newer than what was read for the list. */
function tellPrice() {
  const row = series.candles.lastCandle;
  if (row) watch.price(choice, row.close, row.last_tick_time ?? row.open_time);
}

function changed(what) {
  tellPrice();
  view.change(series.candles.rows, what);
  showEmpty(null);
  showNow();
  if (!cursor) legend(null);
}

function corrected(row, replaced) {
  if (causes.size < MOST_CAUSES || causes.has(row.open_time)) causes.set(row.open_time, row.cause);
  tell("correction", correctionText(row, replaced, zone()));
}

function legend(row) {
  cursor = row;
  const shown = row ?? series.candles?.last;
  showLegend(shown ?? null, zone(), shown && causes.get(shown.open_time));
}

function showNow() {
  if (!choice) return;
  showPrice(choice.symbol, watch.known(choice), series.price);
}

function showEmpty(problem) {
  // What is refused will be refused again.
  if (problem && series.refused) stream.close();
  showInstead(series, problem, isActive());
}

async function showSlow() {
  if (series.refused) return;
  const now = closedThrough() ?? Date.now();
  if (await side.show(choice, now, index.intervals[0], status)) showNow();
}

// How it begins

async function begin() {
  chart.zone(zone());
  [index, status, known] = await readFirst();
  control({
    chart,
    intervals: intervalsOf(index.intervals),
    choice: () => choice,
    choose,
    pick: () => picker.open(choice),
    onZone: () => {
      legend(cursor);
      showSlow();
    },
  });
  const first = firstChoice(known, index);
  watch.show(
    known.filter((one) => one.active),
    first,
  );
  const shown = choose(first);
  statusChanged();
  await shown;
  listen();
  setInterval(readStatus, STATUS_MS);
  setInterval(() => side.running || showSlow(), SLOW_MS);
  setInterval(keepUp, TAIL_MS);
}

/** What the stream does not tell is read: longer intervals, windows without a trade, and everything
 * while there is no stream. One that leaves out what closes is none. */
function keepUp() {
  if (stream.paused) return;
  if (!stream.live || series.missed >= MOST_MISSED) {
    series.missed = 0;
    stream.suspect();
  }
  if (series.derived || !stream.live || series.isBehind(closedThrough())) series.tail();
}

function listen() {
  at("empty-start").addEventListener("click", async () => {
    await building.start(choice);
    say(at("empty-text"), at("building-answer").textContent);
  });
  addEventListener("online", () => stream.retry());
  addEventListener("hashchange", () => {
    const wanted = parse(location.hash.slice(1), intervalsOf(index.intervals));
    if (wanted) choose(wanted);
  });
  observe(
    () => stream.pause(),
    () => {
      stream.resume();
      readStatus();
    },
  );
}

begin();
