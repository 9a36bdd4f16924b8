// Whether what is on show is live, and if not, since when and until when it is waited for.

import { clock, duration } from "./format.js";
import { tell } from "./news.js";
import { at, say } from "./page.js";
import { zone } from "./settings.js";

const WORDS = { connecting: "connecting", live: "live", off: "nothing to follow", paused: "paused" };
const AWAY_MS = 10_000;

export class Connection {
  #lostAt = null;
  #answers = true;
  #stream = { state: "connecting" };
  #exchange = "";

  /** onRetry(): the reader does not want to wait. */
  constructor(onRetry) {
    at("banner-retry").addEventListener("click", onRetry);
  }

  /** How the stream is, see `stream.js`. */
  stream(now) {
    this.#stream = now;
    if (now.state === "waiting" && this.#lostAt === null) {
      this.#lostAt = Date.now();
      tell("lost", "Live updates are interrupted.");
    }
    if (now.state === "live" && this.#lostAt !== null) {
      const gone = duration(Date.now() - this.#lostAt);
      tell("back", `Live again after ${gone}; what closed meanwhile is read now.`);
      this.#lostAt = null;
    }
    if (["off", "paused"].includes(now.state)) this.#lostAt = null;
    this.#draw();
  }

  /** Whether the service answers requests; true if it does again. */
  answers(answers) {
    const again = answers && !this.#answers;
    this.#answers = answers;
    this.#draw();
    return again;
  }

  /** feed: the one on show, of the status, or undefined. */
  feed(feed) {
    const good = feed?.last_good_poll;
    const away =
      feed?.last_error && (good === null || Date.now() + (feed.offset ?? 0) - good > AWAY_MS);
    const since = good ? ` since ${clock(good, zone(), true)}` : "";
    this.#exchange = away ? `${feed.exchange} does not answer${since} (${feed.last_error}).` : "";
    this.#draw();
  }

  #draw() {
    const { state, seconds } = this.#stream;
    const away = this.#lostAt !== null;
    const pill = at("connection");
    pill.dataset.state = state;
    say(
      at("connection-text"),
      state === "waiting" ? `again in ${seconds} s` : away ? "reconnecting" : WORDS[state],
    );
    const next = state === "waiting" ? `Next try in ${seconds} s.` : "Trying now …";
    const text = away ? `${this.#lost()} ${next}` : this.#exchange;
    at("banner").hidden = !text;
    at("banner").dataset.kind = away ? "lost" : "exchange";
    at("banner-retry").hidden = !away;
    say(at("banner-text"), text);
    document.body.classList.toggle("old", away && !this.#answers);
  }

  #lost() {
    const since = clock(this.#lostAt, zone(), true);
    if (!this.#answers) return `The service is away since ${since}. What you see is from before.`;
    return `No live stream since ${since}. Candles are read every few seconds instead.`;
  }
}
