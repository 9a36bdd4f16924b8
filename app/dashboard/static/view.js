// Puts the series on show into the chart, at most once a frame, and its price above it.

import { isCandle, kindOf } from "./candles.js";
import { change } from "./format.js";
import { at, say } from "./page.js";

// A market that has just begun has no prices to take the axis from, and little to frame.
const FEW = 20;

export class View {
  #pending = null;
  #few = 0;
  #drawn = { count: -1 };

  constructor(chart) {
    this.chart = chart;
  }

  /** Another series: its newest candles, framed anew. */
  begin(rows) {
    this.#pending = null;
    this.#draw(rows);
    this.#frame(rows);
  }

  #frame(rows) {
    this.#few = rows.filter(isCandle).length;
    this.chart.fit(rows);
    this.chart.frame();
  }

  /** rows: all of them; what: `all` or `tail`. */
  change(rows, what) {
    if (this.#pending === null) requestAnimationFrame(() => this.#flush());
    this.#pending = { rows, what: this.#pending?.what === "all" ? "all" : what };
  }

  #flush() {
    if (this.#pending === null) return;
    const { rows, what } = this.#pending;
    this.#pending = null;
    if (what === "tail" && this.#onlyLast(rows)) {
      this.chart.showLast(rows);
      this.#note(rows);
    } else {
      this.#draw(rows);
    }
    if (this.#few < FEW && rows.filter(isCandle).length > this.#few) this.#frame(rows);
  }

  #draw(rows) {
    this.chart.show(rows);
    this.#note(rows);
  }

  #note(rows) {
    this.#drawn = { count: rows.length, last: rows.at(-1), before: rows.at(-2) };
    describe(rows);
  }

  #onlyLast(rows) {
    const { count, last, before } = this.#drawn;
    if (rows.length === count) return rows.at(-2) === before;
    return rows.length === count + 1 && rows.at(-2) === last;
  }
}

/** What is drawn, in the document: for tests, and for whoever looks into the page. */
function describe(rows) {
  const [first, last] = [rows[0], rows.at(-1)];
  const candles = rows.filter((row) => isCandle(row) && row.closed).length;
  const told = {
    rows: rows.length,
    candles,
    first: first?.open_time,
    last: last?.open_time,
    newest: last && kindOf(last),
  };
  for (const [name, value] of Object.entries(told)) at("chart").dataset[name] = value ?? "";
}

/** known: {price, base, since} of the series. */
export function showPrice(symbol, { price, base, since }, fallback) {
  const now = price ?? fallback;
  say(at("price"), now ?? "–");
  const moved = now && base !== undefined ? change(base, now) : "";
  say(at("change"), moved ? `${moved} ${since}` : "");
  at("change").className = `change ${moved.startsWith("−") ? "down" : "up"}`;
  document.title = now ? `${now} ${symbol} · Candlekeep` : `${symbol} · Candlekeep`;
}
