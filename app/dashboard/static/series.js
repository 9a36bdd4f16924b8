// The series on show: opens the stream, reads candles, puts events over them, loads history and
// what is missing at the end. Says what changed; draws nothing.

import { Problem, get } from "./api.js";
import { Candles, isCandle } from "./candles.js";
import { lengthOf } from "./format.js";

const PAGE = 600;
const OLDER_PAGE = 1000;
const OPENING_MS = 1200;
const MOST_PAGES = 5;
const REFUSED = [400, 404, 422];

/** hooks: onLoaded(), onChange("all" | "tail"), onCorrection(candle, what it
 * replaces), onProblem(Problem or null). */
export class Series {
  #buffer = null;
  #generation = 0;
  #cursor = null;
  #stale = false;
  #older = [];
  #loadingOlder = false;
  #readingTail = false;
  #tailAgain = false;
  #hole = Number.POSITIVE_INFINITY;

  constructor(stream, hooks) {
    this.stream = stream;
    this.hooks = hooks;
    this.loaded = false;
    this.hint = "";
    /** Whether it was read before the stream was open: what came in between is not known. */
    this.unheard = false;
    /** How often in a row a candle was read of which the stream had not told. */
    this.missed = 0;
  }

  /** choice: exchange, symbol, source, interval; stored: intervals that the stream has, the
   * shortest first; also: further symbols to hear of. */
  choose(choice, stored, also) {
    this.choice = choice;
    this.stored = stored;
    this.also = also;
    this.length = lengthOf(choice.interval);
    this.derived = !stored.includes(choice.interval);
    this.candles = new Candles(this.length);
    this.loaded = false;
    this.refused = false;
    this.#stale = false;
    this.#hole = Number.POSITIVE_INFINITY;
    return this.load(true);
  }

  /** Listen first, then read: what happens in between is put over what was read. */
  async load(reopen = false) {
    const generation = ++this.#generation;
    this.#buffer = [];
    this.unheard = false;
    if (reopen) await Promise.race([this.stream.open(this.#heardOf()), pause(OPENING_MS)]);
    if (generation !== this.#generation) return;
    this.unheard = !this.stream.live;
    const done = await this.#attempt(generation, async () => {
      const page = await get("/candlesticks", { ...this.#asked(), limit: PAGE, include_open: 1 });
      if (generation !== this.#generation) return;
      const candles = new Candles(this.length);
      candles.take(page.data);
      this.candles = candles;
      this.#cursor = page.meta.next_cursor;
      this.hint = page.meta.hint ?? "";
      this.loaded = true;
      this.#stale = false;
      this.#putHeard();
      this.hooks.onLoaded();
    });
    if (done || generation !== this.#generation) return;
    // What is on show goes on, but lacks something: `tail` reads it all again.
    if (this.loaded) this.#putHeard();
    else this.#buffer = null;
    this.#stale = true;
  }

  #putHeard() {
    const heard = this.#buffer ?? [];
    this.#buffer = null;
    for (const [kind, row] of heard) this.#put(kind, row);
  }

  /** What is older than the oldest row, if there is more. */
  async older() {
    if (!this.loaded || !this.#cursor || this.#loadingOlder || this.candles.full) return;
    this.#loadingOlder = true;
    const generation = this.#generation;
    await this.#attempt(generation, async () => {
      const asked = { ...this.#asked(), limit: OLDER_PAGE, include_open: 1, cursor: this.#cursor };
      const page = await get("/candlesticks", asked);
      if (generation !== this.#generation) return;
      this.#cursor = page.meta.next_cursor;
      const taken = this.candles.take(page.data);
      // The page may have been read before these came.
      this.candles.take(this.#older.filter((row) => !this.#isBefore(row)));
      if (taken) this.hooks.onChange("all");
    });
    this.#older = [];
    this.#loadingOlder = false;
  }

  /** What came since the newest closed row, with the reasons of windows that have no candle. */
  async tail() {
    if (this.#buffer) return;
    if (!this.loaded || this.#stale) {
      if (!this.refused) await this.load();
      return;
    }
    if (this.#readingTail) {
      this.#tailAgain = true;
      return;
    }
    this.#readingTail = true;
    do {
      this.#tailAgain = false;
      await this.#attempt(this.#generation, () => this.#readTail(this.#generation));
    } while (this.#tailAgain);
    this.#readingTail = false;
  }

  async #readTail(generation) {
    const last = this.candles.lastClosed?.open_time;
    if (last === undefined) return this.load();
    const hole = this.#hole;
    const start = Math.min(last, hole);
    let cursor;
    for (let pages = 0; pages < MOST_PAGES; pages += 1) {
      const page = await get("/candlesticks", {
        ...this.#asked(),
        start,
        limit: 1000,
        include_open: 1,
        cursor,
      });
      if (generation !== this.#generation) return undefined;
      if (page.data.some((row) => this.#isNews(row))) this.missed += 1;
      this.#changed(this.candles.take(page.data));
      cursor = page.meta.next_cursor;
      if (!cursor) {
        if (this.#hole === hole) this.#hole = Number.POSITIVE_INFINITY;
        return undefined;
      }
    }
    return this.load();
  }

  /** Whether the stream should have told of it, and did not so far. */
  #isNews(row) {
    const known = this.candles.get(row.open_time);
    return !this.derived && row.closed && isCandle(row) && !(known?.closed && isCandle(known));
  }

  /** An event of the stream about any series. */
  event(kind, row) {
    const { exchange, source, symbol, interval } = this.choice;
    if (row.symbol !== symbol || row.source !== source || row.exchange !== exchange) return;
    if (!this.loaded && !this.#buffer) return;
    if (row.interval === interval) {
      if (kind === "candle") this.missed = 0;
      if (this.#buffer) this.#buffer.push([kind, row]);
      else this.#put(kind, row);
    } else if (this.derived && kind !== "open" && row.interval === this.stored[0]) {
      this.tail();
    }
  }

  /** Whether there is something to read: all of it, or windows that are decided and of which
   * nothing was heard: those without a trade are told to
   * nobody. closedThrough: of the feed, epoch ms. */
  isBehind(closedThrough) {
    if (!this.loaded || this.#stale) return true;
    const last = this.candles.lastClosed;
    const decided = !last || last.open_time + 2 * this.length <= closedThrough;
    return decided || this.#hole < Number.POSITIVE_INFINITY;
  }

  /** Whether it belongs to history that was not read yet, or was forgotten. */
  #isBefore({ open_time: time }) {
    return (this.#cursor || this.candles.full) && time < this.candles.rows[0]?.open_time;
  }

  #put(kind, row) {
    if (this.#isBefore(row)) {
      // As a neighbor of the oldest row it would be wrong; scrolling back reads it.
      if (this.#loadingOlder) this.#older.push(row);
      if (kind === "correction") this.hooks.onCorrection(row, undefined);
      return;
    }
    const before = this.candles.lastClosed;
    const replaced = this.candles.get(row.open_time);
    const change = this.candles.take([row]);
    this.#changed(change);
    // After a reconnect some are told again.
    if (kind === "correction" && change) this.hooks.onCorrection(row, replaced);
    const hole = before && row.open_time - before.open_time > this.length;
    if (kind === "candle" && hole) {
      // Of windows without a trade nothing is told: they are read.
      this.#hole = Math.min(this.#hole, before.open_time);
      this.tail();
    }
  }

  #changed(change) {
    if (this.candles.bound()) this.hooks.onChange("all");
    else if (change) this.hooks.onChange(change);
  }

  #asked() {
    return { ...this.choice, fill: "null" };
  }

  #heardOf() {
    const { exchange, source, symbol, interval } = this.choice;
    const symbols = [...new Set([symbol, ...this.also])].join(",");
    const shortest = this.stored[0];
    const intervals = this.derived || interval === shortest ? shortest : `${shortest},${interval}`;
    return { exchange, source, symbol: symbols, interval: intervals };
  }

  /** Whether a step went well; what is refused is not asked for again. */
  async #attempt(generation, step) {
    try {
      await step();
      if (generation === this.#generation) {
        this.refused = false;
        this.hooks.onProblem(null);
      }
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (generation === this.#generation) {
        this.refused = !this.loaded && REFUSED.includes(error.status);
        this.hooks.onProblem(error);
      }
      return false;
    }
  }

  /** The newest price, as text; null where there is none. */
  get price() {
    const row = this.candles?.lastCandle;
    return row && isCandle(row) ? row.close : null;
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
