// The first answers. A service that is not there yet is waited for, and the page says so.

import { Problem, get } from "./api.js";
import { knownSeries } from "./choice.js";
import { at, say } from "./page.js";

const WAITS_S = [1, 2, 4, 8, 15];

/** The index, the status and the known series, as soon as the service gives all of them. */
export async function readFirst() {
  for (let failures = 0; ; failures += 1) {
    try {
      const [index, status] = await Promise.all([get("/api"), get("/status")]);
      const known = await knownSeries(status.subscriptions);
      at("banner").hidden = true;
      return [index, status, known];
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      await wait(error.message, WAITS_S[Math.min(failures, WAITS_S.length - 1)]);
    }
  }
}

async function wait(why, seconds) {
  at("banner").hidden = false;
  at("banner-retry").hidden = true;
  for (let left = seconds; left > 0; left -= 1) {
    say(at("banner-text"), `The service does not answer yet (${why}) Next try in ${left} s.`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
