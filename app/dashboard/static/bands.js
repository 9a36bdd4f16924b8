// What candles alone do not show: bands where nothing was observed, and a strip that says of each
// window how much was. A primitive of the chart, drawn behind the candles.

import { kindOf, isCandle } from "./candles.js";
import { reasonText } from "./format.js";

const STRIP = 5;
const HATCH = 7;

export class Bands {
  #rows = [];
  #colors = {};
  #chart = null;
  #update = () => {};

  attached({ chart, requestUpdate }) {
    this.#chart = chart;
    this.#update = requestUpdate;
  }

  detached() {
    this.#chart = null;
  }

  /** rows: one for each place of the time scale. */
  show(rows, colors) {
    this.#rows = rows;
    this.#colors = colors;
    this.#update();
  }

  updateAllViews() {}

  /** Bands lie below the grid, what is written on them above it. */
  paneViews() {
    return [
      this.#view("bottom", (paper) => this.#bands(paper, (...place) => this.#hatch(...place))),
      this.#view("normal", (paper) => {
        this.#bands(paper, (...place) => this.#name(...place));
        for (let place = paper.first; place <= paper.last; place += 1) this.#mark(paper, place);
      }),
    ];
  }

  #view(zOrder, draw) {
    const onto = (scope) => {
      const paper = this.#paper(scope);
      if (paper) draw(paper);
    };
    const renderer = { draw: (target) => target.useBitmapCoordinateSpace(onto) };
    return { zOrder: () => zOrder, renderer: () => renderer };
  }

  /** What there is to draw on, and which rows are to be seen. */
  #paper({ context, bitmapSize, horizontalPixelRatio: ratio }) {
    const scale = this.#chart?.timeScale();
    const range = scale?.getVisibleLogicalRange();
    if (!range) return null;
    const first = Math.max(0, Math.floor(range.from));
    const last = Math.min(this.#rows.length - 1, Math.ceil(range.to));
    const edge = (place) => (scale.logicalToCoordinate(place) - this.#half(scale)) * ratio;
    return { context, ratio, height: bitmapSize.height, edge, first, last };
  }

  #half(scale) {
    return (scale.logicalToCoordinate(1) - scale.logicalToCoordinate(0)) / 2;
  }

  /** Neighbors without an observation are one band. draw(paper, left, width, row) */
  #bands(paper, draw) {
    let begin = null;
    for (let place = paper.first; place <= paper.last + 1; place += 1) {
      const gap = place <= paper.last && kindOf(this.#rows[place]) === "gap";
      if (gap && begin === null) begin = place;
      if (!gap && begin !== null) {
        const left = paper.edge(begin);
        const width = Math.max(paper.edge(place) - left, paper.ratio);
        draw(paper, left, width, this.#rows[begin]);
        begin = null;
      }
    }
  }

  #hatch({ context, ratio, height }, left, width) {
    context.save();
    context.beginPath();
    context.rect(left, 0, width, height);
    context.clip();
    context.fillStyle = this.#colors.band;
    context.fillRect(left, 0, width, height);
    context.strokeStyle = this.#colors.hatch;
    context.lineWidth = ratio;
    context.beginPath();
    for (let x = left - height; x < left + width; x += HATCH * ratio) {
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
    }
    context.stroke();
    context.restore();
  }

  /** The reason, across or upwards, where there is room for it. */
  #name({ context, ratio, height }, left, width, { reasons }) {
    const text = reasonText(reasons);
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    const long = context.measureText(text).width + 8 * ratio;
    const high = 18 * ratio;
    const across = long + 4 * ratio <= width;
    if (!across && (high > width || long + 16 * ratio > height)) return;
    context.save();
    context.translate(left + width / 2, across ? high : 8 * ratio + long / 2);
    if (!across) context.rotate(-Math.PI / 2);
    context.fillStyle = this.#colors.paper;
    context.fillRect(-long / 2, -high / 2, long, high);
    context.fillStyle = this.#colors.text;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(text, 0, 0);
    context.restore();
  }

  #mark({ context, ratio, height, edge }, place) {
    const row = this.#rows[place];
    const left = edge(place);
    const width = edge(place + 1) - left;
    const color = this.#colors.strip[kindOf(row)];
    if (color) {
      context.fillStyle = color;
      context.fillRect(left, height - STRIP * ratio, Math.max(width, 1), STRIP * ratio);
    }
    if (isCandle(row) && row.revision > 1 && row.closed && row.origin === "live") {
      this.#diamond(context, left + width / 2, height - (STRIP + 7) * ratio, 4 * ratio);
    }
  }

  #diamond(context, x, y, size) {
    context.fillStyle = this.#colors.revised;
    context.beginPath();
    context.moveTo(x, y - size);
    context.lineTo(x + size, y);
    context.lineTo(x, y + size);
    context.lineTo(x - size, y);
    context.fill();
  }
}
