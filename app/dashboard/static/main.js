// The dashboard: brings the parts together. Each of them knows nothing of the others.

import { Problem, get } from "./api.js";
import { Building } from "./building.js";
import { Chart } from "./chart.js";
import { firstChoice, intervalsOf, keep, parse, seriesOf, wholeFeeds } from "./choice.js";
import { Connection } from "./connection.js";
import { causeText, moment } from "./format.js";
import { listenOnChart, listenToKeys } from "./keys.js";
import { showLegend } from "./legend.js";
import { tell } from "./news.js";
import { at, make, press, recall, remember, say } from "./page.js";
import { Picker } from "./picker.js";
import { Series } from "./series.js";
import { followTheme, showZone, toggleTheme, toggleZone, zone } from "./settings.js";
import { showAgreement, showCoverage, showFeeds, showStored } from "./status.js";
import { Stream } from "./stream.js";
import { View, showPrice } from "./view.js";
import { Watch } from "./watch.js";

const STATUS_MS = 5000;
const DERIVED_MS = 5000;
const SLOW_MS = 60_000;
const RETRY_S = [1, 2, 4, 8, 15];
const MOST_CAUSES = 1000;

let index = null;
let status = null;
let choice = null;
let known = [];
let cursor = null;
const causes = new Map();

const chart = new Chart(at("chart"), {
  onCursor: (row) => legend(row),
  onBeginning: () => series.older(),
  onMoved: (atEnd) => { at("newest").hidden = atEnd; },
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
const picker = new Picker(() => known, (one) => choose({ ...one, interval: choice.interval }));
const building = new Building(async (started) => {
  await readStatus();
  if (started) choose({ ...started, interval: choice.interval });
});

// What is heard and read

function heard(kind, data) {
  if (kind === "status") {
    mergeFeeds(data);
  } else if (kind === "reset") {
    tell("note", `Candles may have been missed (${data.detail ?? data.reason}): they are read again.`);
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
  if (state.state !== "live" || !state.again) return;
  // Where nothing was heard before, nothing tells from where to go on.
  if (state.resumed) series.tail();
  else series.load();
  readStatus();
}

function mergeFeeds({ role, feeds }) {
  if (!status) return;
  const newer = new Map(feeds.map((feed) => [`${feed.exchange}/${feed.source}`, feed]));
  status.role = role;
  status.feeds = status.feeds.map((feed) => ({ ...feed, ...newer.get(`${feed.exchange}/${feed.source}`) }));
  statusChanged();
}

async function readStatus() {
  try {
    status = await get("/status");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    connection.answers(false);
    stream.suspect();
    return;
  }
  connection.answers(true);
  const before = JSON.stringify(known);
  known = seriesOf(status.subscriptions);
  await addWholeFeeds();
  statusChanged();
  if (choice && before !== JSON.stringify(known)) showSeries();
}

/** Where all symbols of a feed are built, those that have candles. */
async function addWholeFeeds() {
  for (const { exchange, source } of wholeFeeds(status.subscriptions)) {
    const { data } = await get("/candlesticks/latest", { exchange, source, limit: 200 });
    const named = new Set(known.filter((one) => one.exchange === exchange && one.source === source).map((one) => one.symbol));
    const others = data.filter((row) => !named.has(row.symbol));
    known = [...known, ...others.map(({ symbol }) => ({ exchange, source, symbol, active: true }))];
  }
}

function statusChanged() {
  showFeeds(status);
  if (!choice) return;
  connection.feed(feed());
}

function feed() {
  return status.feeds.find(({ exchange, source }) => exchange === choice.exchange && source === choice.source);
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
  at("empty").hidden = true;
  for (const button of at("intervals").children) press(button, button.textContent === choice.interval);
  showSeries();
  chart.show([]);
  const done = series.choose(choice, index.intervals, watch.symbols(choice.exchange, choice.source));
  showSlow();
  return done;
}

function showSeries() {
  say(at("pick-symbol"), choice.symbol);
  say(at("pick-source"), choice.source);
  say(at("kind"), choice.source === "ticker" ? "samples: polled prices, no volume" : "");
  const { exchange, symbol, source } = choice;
  const running = known.some((one) =>
    one.active && one.exchange === exchange && one.symbol === symbol && one.source === source);
  building.show(choice, running, index.sources);
  watch.show(known.filter((one) => one.active), choice);
  showNow();
  return running;
}

function loaded() {
  view.begin(series.candles.rows);
  showEmpty(null);
  showNow();
  legend(cursor);
  document.body.dataset.loaded = "yes";
  performance.mark("first chart");
}

function changed(what) {
  const row = series.candles.lastCandle;
  if (row) watch.price(choice, row.close, row.last_tick_time ?? row.open_time);
  view.change(series.candles.rows, what);
  showEmpty(null);
  showNow();
  if (!cursor) legend(null);
}

function corrected(row, replaced) {
  if (causes.size < MOST_CAUSES) causes.set(row.open_time, row.cause);
  const was = replaced?.close && replaced.close !== row.close ? `close ${replaced.close}, now ${row.close}` : `close ${row.close}`;
  const text = `${row.symbol} ${row.interval} of ${moment(row.open_time, zone())} corrected: ${was} (${causeText(row.cause)}), revision ${row.revision}.`;
  tell("correction", text);
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
  const nothing = series.loaded && !series.candles.rows.length;
  const refused = problem && problem.status >= 400 && problem.status < 500;
  at("empty").hidden = !(nothing || refused);
  if (at("empty").hidden) return;
  const { exchange, symbol, source } = choice;
  const active = known.some((one) =>
    one.active && one.exchange === exchange && one.symbol === symbol && one.source === source);
  say(at("empty-title"), refused ? "This cannot be shown" : active ? "Nothing has closed yet" : "Not being built");
  say(at("empty-text"), refused ? problem.message : active ? series.hint : `${symbol} (${source}) has no candles on ${exchange}.`);
  at("empty-start").hidden = Boolean(refused) || active;
}

async function showSlow() {
  const series_ = { exchange: choice.exchange, symbol: choice.symbol, source: choice.source };
  const steps = [
    () => showCoverage(series_, closedThrough() ?? Date.now()),
    () => showAgreement(series_),
    () => showStored(series_, index.intervals[0], status),
    () => watch.refresh(index.intervals[0]),
  ];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }
  showNow();
}

// What the reader does

function showIntervals() {
  const buttons = intervalsOf(index.intervals).map((interval) => {
    const button = make("button", "", interval);
    button.type = "button";
    button.addEventListener("click", () => choose({ ...choice, interval }));
    return button;
  });
  at("intervals").replaceChildren(...buttons);
}

function stepInterval(by) {
  const all = intervalsOf(index.intervals);
  const next = all[all.indexOf(choice.interval) + by];
  if (next) choose({ ...choice, interval: next });
}

function toggleMean(count, wanted = at(`sma${count}`).getAttribute("aria-pressed") !== "true") {
  press(at(`sma${count}`), wanted);
  remember(`sma${count}`, wanted ? "1" : "0");
  chart.mean(count, wanted);
}

function changeZone() {
  toggleZone();
  showZone();
  chart.zone(zone());
  legend(cursor);
}

function listen() {
  const openPicker = () => picker.open(choice);
  const openHelp = () => at("help").showModal();
  const recolor = () => chart.theme();
  followTheme(recolor);
  listenOnChart(chart);
  listenToKeys({
    "/": openPicker,
    "?": openHelp,
    "[": () => stepInterval(-1),
    "]": () => stepInterval(1),
    l: () => chart.toNewest(),
    m: () => toggleMean(20),
    n: () => toggleMean(50),
    t: () => toggleTheme(recolor),
    u: changeZone,
  });
  at("pick").addEventListener("click", openPicker);
  at("help-open").addEventListener("click", openHelp);
  at("zone").addEventListener("click", changeZone);
  at("newest").addEventListener("click", () => chart.toNewest());
  at("empty-start").addEventListener("click", () => building.start(choice));
  for (const count of [20, 50]) at(`sma${count}`).addEventListener("click", () => toggleMean(count));
  addEventListener("online", () => stream.retry());
  addEventListener("hashchange", () => {
    const wanted = parse(location.hash.slice(1), intervalsOf(index.intervals));
    if (wanted) choose(wanted);
  });
}

async function begin() {
  showZone();
  chart.zone(zone());
  for (let failures = 0; ; failures += 1) {
    try {
      [index, status] = await Promise.all([get("/api"), get("/status")]);
      break;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      await waitWith(error, RETRY_S[Math.min(failures, RETRY_S.length - 1)]);
    }
  }
  at("banner").hidden = true;
  known = seriesOf(status.subscriptions);
  showIntervals();
  listen();
  for (const count of [20, 50]) toggleMean(count, (recall(`sma${count}`) ?? (count === 20 ? "1" : "0")) === "1");
  const first = firstChoice(known, index);
  watch.show(known.filter((one) => one.active), first);
  const shown = choose(first);
  statusChanged();
  await shown;
  setInterval(readStatus, STATUS_MS);
  setInterval(showSlow, SLOW_MS);
  setInterval(() => {
    if (series.derived || !stream.live || series.isBehind(closedThrough())) series.tail();
  }, DERIVED_MS);
}

/** The service is not there yet: say so, and count the seconds. */
async function waitWith(problem, seconds) {
  at("banner").hidden = false;
  at("banner-retry").hidden = true;
  for (let left = seconds; left > 0; left -= 1) {
    say(at("banner-text"), `The service does not answer yet (${problem.message}) Next try in ${left} s.`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

begin();
