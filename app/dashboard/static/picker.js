// The list of markets to choose from: those that are built first, then what the exchange lists.

import { Problem, get } from "./api.js";
import { at, make, say } from "./page.js";
import { nameOf } from "./watch.js";

const MOST = 60;
const KEEP_MS = 60_000;

export class Picker {
  #markets = [];
  #feed = "";
  #readAt = 0;
  #found = [];
  #place = 0;

  /** series(): those that are known; onChoose(series) */
  constructor(series, onChoose) {
    this.series = series;
    this.onChoose = onChoose;
    at("picker-input").addEventListener("input", () => this.#draw(0));
    at("picker-input").addEventListener("keydown", (event) => this.#key(event));
    at("picker").addEventListener("click", (event) => {
      if (event.target === at("picker")) at("picker").close();
    });
  }

  open(chosen) {
    this.chosen = chosen;
    at("picker-input").value = "";
    at("picker").showModal();
    this.#draw(0);
    this.#read();
  }

  async #read() {
    const { exchange, source } = this.chosen;
    const feed = `${exchange}/${source}`;
    if (feed === this.#feed && Date.now() - this.#readAt < KEEP_MS) return;
    this.#forget(feed);
    say(at("picker-note"), "asking the exchange what it lists …");
    try {
      const { data } = await get("/markets", { exchange, source });
      if (feed !== this.#feed) return;
      this.#markets = data.map((market) => ({
        exchange,
        source,
        symbol: market.symbol,
        price: market.last_price,
      }));
      this.#readAt = Date.now();
      say(at("picker-note"), "");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (feed !== this.#feed) return;
      say(at("picker-note"), error.message);
    }
    this.#draw(this.#place);
  }

  /** Markets of another feed are none of this one. */
  #forget(feed) {
    if (feed === this.#feed) return;
    this.#feed = feed;
    this.#readAt = 0;
    this.#markets = [];
    this.#draw(this.#place);
  }

  #draw(place) {
    const wanted = at("picker-input").value.trim().toUpperCase().replace(/[/-]/g, "_");
    const known = this.series();
    const names = new Set(known.map(nameOf));
    const built = known.map((one) => ({ ...one, note: one.active ? "being built" : "stopped" }));
    const others = this.#markets.filter((one) => !names.has(nameOf(one)));
    const fits = (one) => one.symbol.includes(wanted);
    this.#found = [...built, ...others].filter(fits).slice(0, MOST);
    this.#place = Math.max(0, Math.min(place, this.#found.length - 1));
    at("picker-list").replaceChildren(
      ...this.#found.map((one, number) => this.#option(one, number)),
    );
    if (!this.#found.length) at("picker-list").append(make("li", "quiet", "Nothing fits."));
    this.#mark();
  }

  #option(one, number) {
    const note = one.note ?? one.price ?? "";
    const name = make("span", "symbol", one.symbol, " ", make("i", "tag", one.source));
    const option = make("li", "", name, make("span", "number", note));
    option.id = `picker-${number}`;
    option.role = "option";
    option.addEventListener("click", () => this.#choose(one));
    return option;
  }

  #mark() {
    for (const [number, option] of [...at("picker-list").children].entries()) {
      option.setAttribute("aria-selected", String(number === this.#place));
    }
    const selected = at(`picker-${this.#place}`);
    selected?.scrollIntoView({ block: "nearest" });
    at("picker-input").setAttribute("aria-activedescendant", selected?.id ?? "");
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) {
      event.preventDefault();
      this.#place = Math.max(0, Math.min(this.#place + step, this.#found.length - 1));
      this.#mark();
    } else if (event.key === "Enter" && this.#found[this.#place]) {
      event.preventDefault();
      this.#choose(this.#found[this.#place]);
    }
  }

  #choose({ exchange, symbol, source }) {
    at("picker").close();
    this.onChoose({ exchange, symbol, source });
  }
}
