// The bar on top and the shortcuts: interval, lines, colors, zone, help.

import { listenOnChart, listenToKeys } from "./keys.js";
import { at, make, press, recall, remember } from "./page.js";
import { followTheme, showZone, toggleTheme, toggleZone, zone } from "./settings.js";

const MEANS = { 20: "1", 50: "0" };

/** desk: the chart; intervals; choice() and choose(choice); pick(): ask for a market; onZone(). */
export function control(desk) {
  showIntervals(desk);
  showZone();
  for (const [count, usual] of Object.entries(MEANS)) {
    showMean(desk.chart, count, (recall(`sma${count}`) ?? usual) === "1");
    at(`sma${count}`).addEventListener("click", () => toggleMean(desk.chart, count));
  }
  const recolor = () => desk.chart.theme();
  const openHelp = () => at("help").showModal();
  followTheme(recolor);
  at("pick").addEventListener("click", desk.pick);
  at("help-open").addEventListener("click", openHelp);
  at("zone").addEventListener("click", () => changeZone(desk));
  at("newest").addEventListener("click", () => desk.chart.toNewest());
  listenOnChart(desk.chart);
  listenToKeys({
    "/": desk.pick,
    "?": openHelp,
    "[": () => stepInterval(desk, -1),
    "]": () => stepInterval(desk, 1),
    l: () => desk.chart.toNewest(),
    m: () => toggleMean(desk.chart, "20"),
    n: () => toggleMean(desk.chart, "50"),
    t: () => toggleTheme(recolor),
    u: () => changeZone(desk),
  });
}

function showIntervals(desk) {
  const buttons = desk.intervals.map((interval) => {
    const button = make("button", "", interval);
    button.type = "button";
    button.addEventListener("click", () => desk.choose({ ...desk.choice(), interval }));
    return button;
  });
  at("intervals").replaceChildren(...buttons);
}

function stepInterval(desk, by) {
  const next = desk.intervals[desk.intervals.indexOf(desk.choice().interval) + by];
  if (next) desk.choose({ ...desk.choice(), interval: next });
}

function toggleMean(chart, count) {
  const wanted = at(`sma${count}`).getAttribute("aria-pressed") !== "true";
  remember(`sma${count}`, wanted ? "1" : "0");
  showMean(chart, count, wanted);
}

function showMean(chart, count, wanted) {
  press(at(`sma${count}`), wanted);
  chart.mean(Number(count), wanted);
}

function changeZone(desk) {
  toggleZone();
  showZone();
  desk.chart.zone(zone());
  desk.onZone();
}
