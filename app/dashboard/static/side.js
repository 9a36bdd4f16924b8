// What stands beside the chart and changes slowly: coverage, agreement, what is stored, changes of a
// day. Of several runs only the newest writes.

import { Problem } from "./api.js";
import { showAgreement, showCoverage, showStored } from "./status.js";

export class Side {
  #run = 0;
  #running = false;

  constructor(watch) {
    this.watch = watch;
  }

  /** Whether a run is on its way. */
  get running() {
    return this.#running;
  }

  /** What is on its way is not wanted any more. */
  stop() {
    this.#run += 1;
    this.#running = false;
  }

  /** now: of the feed, epoch ms; interval: the shortest that is stored. False if it was stopped. */
  async show({ exchange, symbol, source }, now, interval, status) {
    this.stop();
    const run = this.#run;
    const wanted = () => run === this.#run;
    this.#running = true;
    const series = { exchange, symbol, source };
    const steps = [
      () => showCoverage(series, now, wanted),
      () => showAgreement(series, wanted),
      () => showStored(series, interval, status, wanted),
      () => this.watch.refresh(interval),
    ];
    try {
      for (const step of steps) if (wanted()) await attempt(step);
    } finally {
      if (wanted()) this.#running = false;
    }
    return wanted();
  }
}

async function attempt(step) {
  try {
    await step();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}
