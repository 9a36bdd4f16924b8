// The picture: candles, volume, means, and marks. Takes rows of `candles.js`, and only here do
// prices become numbers.

import {
  CandlestickSeries,
  CrosshairMode,
  HistogramSeries,
  LineSeries,
  createChart,
} from "./vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { movingAverage } from "./averages.js";
import { Bands } from "./bands.js";
import { isCandle, kindOf } from "./candles.js";
import { clock, day, decimals, moment, month } from "./format.js";

const NEAR_THE_BEGINNING = 60;
const MOST_DECIMALS = 12;
const [YEAR, MONTH, DAY_OF_MONTH] = [0, 1, 2];

export class Chart {
  #rows = [];
  #colors = {};
  #means = new Map();
  #zone = "UTC";
  #cursor = null;

  /** onCursor(row or null), onBeginning(): the oldest row is near, onMoved(at the end). */
  constructor(element, { onCursor, onBeginning, onMoved }) {
    this.element = element;
    this.onCursor = onCursor;
    this.chart = createChart(element, {
      autoSize: true,
      // A finger that goes up or down means the page.
      handleScroll: { vertTouchDrag: false },
      layout: { attributionLogo: false, fontSize: 11 },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, rightOffset: 4, minBarSpacing: 0.6 },
      localization: { timeFormatter: (time) => moment(time * 1000, this.#zone, true) },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { priceLineStyle: 1 });
    this.volume = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0.02 } });
    this.bands = new Bands();
    this.candles.attachPrimitive(this.bands);
    this.#listen(onBeginning, onMoved);
    this.theme();
    this.zone("UTC");
  }

  #listen(onBeginning, onMoved) {
    this.chart.subscribeCrosshairMove(({ logical, point, sourceEvent }) => {
      // Only what the mouse or a finger did has an event behind it.
      if (sourceEvent) this.#cursor = null;
      const place = this.#cursor ?? (point ? logical : undefined);
      this.onCursor(this.#rows[place] ?? null);
    });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (!range || !this.#rows.length) return;
      if (range.from < NEAR_THE_BEGINNING) onBeginning();
      onMoved(range.to >= this.#rows.length - 1);
    });
  }

  /** Take the colors of the page's style anew. */
  theme() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    const names = [
      "up",
      "down",
      "up-pale",
      "down-pale",
      "up-volume",
      "down-volume",
      "line-20",
      "line-50",
    ];
    this.#colors = Object.fromEntries(names.map((name) => [name, color(name)]));
    this.#colors.bands = {
      band: color("gap-band"),
      hatch: color("gap-hatch"),
      paper: color("paper"),
      text: color("muted"),
      revised: color("revised"),
      strip: {
        full: color("strip"),
        partial: color("part"),
        gap: color("gap"),
        no_trade: color("strip"),
      },
    };
    // Of the last candle's own, a hollow one would give none.
    this.candles.applyOptions({ priceLineColor: color("accent") });
    const grid = { color: color("grid") };
    this.chart.applyOptions({
      layout: { background: { color: color("paper") }, textColor: color("muted") },
      grid: { vertLines: grid, horzLines: grid },
      rightPriceScale: { borderColor: color("edge") },
      timeScale: { borderColor: color("edge") },
      crosshair: {
        vertLine: { color: color("faint"), labelBackgroundColor: color("label") },
        horzLine: { color: color("faint"), labelBackgroundColor: color("label") },
      },
    });
    for (const [count, line] of this.#means)
      line.applyOptions({ color: this.#colors[`line-${count}`] });
    this.show(this.#rows);
  }

  /** zone: "UTC", or undefined for the reader's own. */
  zone(zone) {
    this.#zone = zone;
    const mark = (time, type) => {
      const ms = time * 1000;
      if (type === YEAR) return month(ms, zone);
      if (type === MONTH) return month(ms, zone);
      return type === DAY_OF_MONTH ? day(ms, zone) : clock(ms, zone, type === 4);
    };
    this.chart.timeScale().applyOptions({ tickMarkFormatter: mark });
  }

  /** A line of the means of so many closes, or none. */
  mean(count, wanted) {
    if (wanted && !this.#means.has(count)) {
      this.#means.set(
        count,
        this.chart.addSeries(LineSeries, {
          color: this.#colors[`line-${count}`],
          lineWidth: 1,
          lastValueVisible: false,
          priceLineVisible: false,
          crosshairMarkerVisible: false,
          autoscaleInfoProvider: () => null,
        }),
      );
      this.#drawMeans();
    } else if (!wanted && this.#means.has(count)) {
      this.chart.removeSeries(this.#means.get(count));
      this.#means.delete(count);
    }
  }

  /** Draw everything anew. */
  show(rows) {
    this.#rows = rows;
    this.candles.setData(rows.map((row) => this.#candle(row)));
    this.volume.setData(rows.map((row) => this.#volume(row)));
    this.#drawMeans();
    this.bands.show(rows, this.#colors.bands);
  }

  /** Only the last row has changed, or one was added. */
  showLast(rows) {
    this.#rows = rows;
    const row = rows.at(-1);
    this.candles.update(this.#candle(row));
    this.volume.update(this.#volume(row));
    if (row.closed) this.#drawMeans();
    this.bands.show(rows, this.#colors.bands);
  }

  /** Digits of the axis as in the prices, and room below for volume where there is any. */
  fit(rows) {
    const samples = !rows.some((row) => row.volume !== null);
    const bottom = samples && rows.length ? 0.06 : 0.24;
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.06, bottom } });
    const prices = rows
      .slice(-50)
      .filter(isCandle)
      .flatMap((row) => [row.open, row.high, row.low, row.close]);
    const precision = Math.min(MOST_DECIMALS, Math.max(0, ...prices.map(decimals)));
    this.candles.applyOptions({
      priceFormat: { type: "price", precision, minMove: 10 ** -precision },
    });
  }

  toNewest() {
    this.chart.timeScale().scrollToRealTime();
  }

  /** So many candles at the right edge, as fit in. */
  frame() {
    const end = this.#rows.length;
    const wanted = Math.max(40, Math.min(end, Math.round(this.element.clientWidth / 8)));
    this.chart.timeScale().setVisibleLogicalRange({ from: end - wanted, to: end + 4 });
    this.chart.priceScale("right").applyOptions({ autoScale: true });
  }

  /** The cursor of the keyboard goes by so many candles. */
  step(by) {
    const end = this.#rows.length - 1;
    const from = this.#cursor ?? (by < 0 ? end + 1 : end);
    this.#cursor = Math.max(0, Math.min(end, from + by));
    const row = this.#rows[this.#cursor];
    if (!row) return;
    this.#reveal(this.#cursor);
    const price = isCandle(row) ? Number(row.close) : this.#priceBefore(this.#cursor);
    this.chart.setCrosshairPosition(price, row.open_time / 1000, this.candles);
    this.onCursor(row);
  }

  leave() {
    if (this.#cursor === null) return;
    this.#cursor = null;
    this.chart.clearCrosshairPosition();
  }

  zoom(factor) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    scale.setVisibleLogicalRange({
      from: range.to - (range.to - range.from) * factor,
      to: range.to,
    });
  }

  #reveal(place) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range || (place >= range.from + 1 && place <= range.to - 1)) return;
    const half = (range.to - range.from) / 2;
    scale.setVisibleLogicalRange({ from: place - half, to: place + half });
  }

  #priceBefore(place) {
    return Number(this.#rows.slice(0, place).findLast(isCandle)?.close ?? 0);
  }

  #candle(row) {
    const time = row.open_time / 1000;
    if (!isCandle(row)) return { time };
    const [open, close] = [Number(row.open), Number(row.close)];
    const side = close < open ? "down" : "up";
    const strong = this.#colors[side];
    const fill = { full: strong, partial: "transparent", open: this.#colors[`${side}-pale`] }[
      kindOf(row)
    ];
    return {
      time,
      open,
      high: Number(row.high),
      low: Number(row.low),
      close,
      color: fill,
      borderColor: strong,
      wickColor: strong,
    };
  }

  #volume(row) {
    const time = row.open_time / 1000;
    if (!isCandle(row) || row.volume === null) return { time };
    const side = Number(row.close) < Number(row.open) ? "down" : "up";
    return { time, value: Number(row.volume), color: this.#colors[`${side}-volume`] };
  }

  #drawMeans() {
    const closes = this.#rows.map((row) =>
      isCandle(row) && row.closed ? Number(row.close) : Number.NaN,
    );
    const times = this.#rows.map((row) => row.open_time);
    const length = this.#rows.length ? this.#rows[0].close_time + 1 - times[0] : 0;
    for (const [count, line] of this.#means) {
      const values = movingAverage(closes, count, times, length);
      line.setData(this.#rows.map((row, place) => this.#point(row, values, place)));
    }
  }

  /** The library joins points across a gap, in the color of the one before it: there, in none. */
  #point(row, values, place) {
    const time = row.open_time / 1000;
    if (values[place] === null) return { time };
    const value = values[place];
    return values[place + 1] === null ? { time, value, color: "transparent" } : { time, value };
  }
}
