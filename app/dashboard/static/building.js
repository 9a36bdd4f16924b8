// Starting and stopping. A key, where the service wants one, lives as long as the tab.

import { Problem, post, remove, useKey } from "./api.js";
import { at, say } from "./page.js";

export class Building {
  #again = null;

  /** onChanged(series or null): something was started (that) or stopped. */
  constructor(onChanged) {
    this.onChanged = onChanged;
    at("start").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start({
        ...this.chosen,
        symbol: at("start-symbol").value.trim(),
        source: at("start-source").value,
      });
    });
    at("stop").addEventListener("click", () => this.stop(this.chosen));
    at("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      useKey(at("key").value);
      at("key").value = "";
      this.#again?.();
    });
  }

  /** chosen: the series on show; running: whether it is being built. */
  show(chosen, running, sources) {
    this.chosen = { exchange: chosen.exchange, symbol: chosen.symbol, source: chosen.source };
    say(at("stop"), `Stop ${chosen.symbol} ${chosen.source}`);
    at("stop").disabled = !running;
    if (at("start-source").options.length) return;
    at("start-source").replaceChildren(...sources.map((source) => new Option(source, source)));
    at("start-source").value = chosen.source;
  }

  start({ exchange, symbol, source }) {
    return this.#try(async () => {
      const answer = await post("/candlesticks", { exchange, symbols: [symbol], source });
      const row = answer.data[0];
      const unsure = answer.meta.verified
        ? ""
        : " The exchange could not be asked whether it lists it.";
      say(at("building-answer"), `${row.symbol} ${row.source}: ${row.state}.${unsure}`);
      at("start-symbol").value = "";
      this.onChanged({ exchange: row.exchange, symbol: row.symbol, source: row.source });
    });
  }

  stop(series) {
    return this.#try(async () => {
      const answer = await remove("/candlesticks", series);
      const row = answer.data[0];
      say(at("building-answer"), `${row.symbol} ${row.source}: stopped. Its candles stay.`);
      this.onChanged(null);
    });
  }

  async #try(step) {
    this.#again = () => this.#try(step);
    say(at("building-answer"), "…");
    try {
      await step();
      at("key-form").hidden = true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      say(at("building-answer"), error.message);
      at("building-answer").classList.add("trouble");
      if (error.key) {
        at("key-form").hidden = false;
        at("key").focus();
      }
      return;
    }
    at("building-answer").classList.remove("trouble");
  }
}
