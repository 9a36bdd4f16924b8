// The candles of one series and interval, as far as they were read. Knows which of two states of a
// candle is the newer; knows nothing of where they come from.

const MOST = 20_000;

/** Whether a row is a candle, and not the word that there is none. */
export function isCandle(row) {
  return row.origin !== "fill" && row.close !== null;
}

/** What is to be marked about a row: `full`, `open`, `partial`, `no_trade` or `gap`. */
export function kindOf(row) {
  if (isCandle(row)) return !row.closed ? "open" : row.coverage < 1 ? "partial" : "full";
  return row.coverage === 1 ? "no_trade" : "gap";
}

/** Closed wins over open; then the higher revision; of an open one the state with more ticks. */
function isNewer(row, known) {
  if (row.closed !== known.closed) return row.closed;
  if (row.closed && row.revision !== known.revision) return row.revision > known.revision;
  if (row.closed) return row.coverage !== known.coverage || row.tick_count !== known.tick_count;
  return row.tick_count >= known.tick_count;
}

export class Candles {
  #rows = [];
  #places = new Map();

  /** length: of a window, ms. */
  constructor(length) {
    this.length = length;
  }

  /** Oldest first. */
  get rows() {
    return this.#rows;
  }

  get full() {
    return this.#rows.length >= MOST;
  }

  get last() {
    return this.#rows.at(-1);
  }

  get(openTime) {
    return this.#rows[this.#places.get(openTime)];
  }

  /** The newest closed row. */
  get lastClosed() {
    return this.#rows.findLast((row) => row.closed);
  }

  /** The newest row that has prices. */
  get lastCandle() {
    return this.#rows.findLast(isCandle);
  }

  /** Take rows in any order. `tail`: only the last one has changed or one was added behind it. */
  take(rows) {
    let change = null;
    let sorted = true;
    for (const row of rows) {
      const place = this.#places.get(row.open_time);
      if (place === undefined) {
        const behind = !this.#rows.length || row.open_time > this.#rows.at(-1).open_time;
        sorted &&= behind;
        change = behind && change !== "all" && this.#rows.length ? "tail" : "all";
        this.#places.set(row.open_time, this.#rows.push(row) - 1);
      } else if (isNewer(row, this.#rows[place])) {
        this.#rows[place] = row;
        change = place === this.#rows.length - 1 && change !== "all" ? "tail" : "all";
      }
    }
    if (!sorted) this.#sort();
    return change;
  }

  #sort() {
    this.#rows.sort((one, other) => one.open_time - other.open_time);
    this.#places = new Map(this.#rows.map((row, place) => [row.open_time, place]));
  }

  /** Forget the oldest where there are too many. */
  bound() {
    if (this.#rows.length <= MOST + 1000) return false;
    this.#rows.splice(0, this.#rows.length - MOST);
    this.#sort();
    return true;
  }
}
