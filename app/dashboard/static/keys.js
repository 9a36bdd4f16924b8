// Shortcuts of the page, and those of the chart while it has the focus.

import { at, say } from "./page.js";

const STEP = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 };

/** actions: what each key does. */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
}

export function listenOnChart(chart) {
  const element = at("chart");
  element.addEventListener("keydown", (event) => {
    const step = STEP[event.key];
    const zoom = { "+": 0.7, "=": 0.7, "-": 1.4 }[event.key];
    if (!step && !zoom && event.key !== "End") return;
    event.preventDefault();
    if (step) {
      chart.step(step);
      say(at("said"), at("legend").innerText.replaceAll("\n", ", "));
    } else if (zoom) {
      chart.zoom(zoom);
    } else {
      chart.toNewest();
    }
  });
  element.addEventListener("blur", () => chart.leave());
}
