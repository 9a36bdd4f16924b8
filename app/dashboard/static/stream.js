// The live stream. Reconnects by itself, goes on where it was, and says all the time how it is.

import { query } from "./api.js";

const WAITS_S = [1, 2, 4, 8, 15];
const OPENING_MS = 8000;
const KINDS = ["open", "candle", "correction", "status", "reset"];

/**
 * onEvent(kind, data), onState({state, seconds, again}): state is `connecting`, `live`, `off`,
 * `paused`, or `waiting` for so many `seconds`; again: it had been lost; resumed: it goes on from where it was.
 */
export class Stream {
  #source = null;
  #address = {};
  #last = null;
  #failures = 0;
  #lost = false;
  #timer = 0;
  #until = 0;
  #off = false;
  #paused = false;

  constructor(onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
  }

  /** Listen to something else, from now on. Resolves when it is open, or has failed once. */
  open(parameters) {
    this.#address = parameters;
    this.#last = null;
    this.#lost = false;
    this.#off = false;
    this.#paused = false;
    return this.#connect();
  }

  get live() {
    return this.#source?.readyState === EventSource.OPEN;
  }

  get paused() {
    return this.#paused;
  }

  /** Do not wait for the next try. */
  retry() {
    const closed = this.#source?.readyState === EventSource.CLOSED;
    if (closed && !this.#off && !this.#paused) this.#connect();
  }

  /** Give the connection back until `resume`, which goes on from where it was. */
  pause() {
    if (this.#off || !this.#source) return;
    clearTimeout(this.#timer);
    this.#source.close();
    this.#lost = true;
    this.#paused = true;
    this.onState({ state: "paused" });
  }

  resume() {
    this.#paused = false;
    this.retry();
  }

  /** Listen to nothing until the next `open`. */
  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#off = true;
    this.onState({ state: "off" });
  }

  /** The service is away though the connection has not been told so. */
  suspect() {
    if (this.live) this.#failed();
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.onState({ state: "connecting" });
    const since = this.#last ?? undefined;
    const source = new EventSource(`/stream${query({ ...this.#address, since })}`);
    this.#source = source;
    this.#timer = setTimeout(() => this.#failed(), OPENING_MS);
    for (const kind of KINDS) source.addEventListener(kind, (event) => this.#heard(kind, event));
    return new Promise((resolve) => {
      source.onopen = (event) => {
        // The stream's own events of open candles bear the name of the browser's.
        if (!(event instanceof MessageEvent)) resolve(this.#opened(since !== undefined));
      };
      source.onerror = () => {
        if (this.#source === source) this.#failed();
        resolve();
      };
    });
  }

  #opened(resumed) {
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.onState({ state: "live", again: this.#lost, resumed });
    this.#lost = false;
  }

  #heard(kind, event) {
    if (!(event instanceof MessageEvent)) return;
    if (event.lastEventId) this.#last = event.lastEventId;
    this.onEvent(kind, JSON.parse(event.data));
  }

  // EventSource would try again too, but in silence, and not after every kind of failure.
  #failed() {
    this.#source?.close();
    this.#lost = true;
    const seconds = WAITS_S[Math.min(this.#failures, WAITS_S.length - 1)];
    this.#failures += 1;
    this.#until = Date.now() + seconds * 1000;
    this.#count();
  }

  #count() {
    clearTimeout(this.#timer);
    const left = this.#until - Date.now();
    if (left <= 0) {
      this.#connect();
      return;
    }
    this.onState({ state: "waiting", seconds: Math.ceil(left / 1000) });
    this.#timer = setTimeout(() => this.#count(), Math.min(left, 1000));
  }
}
