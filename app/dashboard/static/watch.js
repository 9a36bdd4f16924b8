// The series that are being built, with their prices as they come and the change of a day.

import { Problem, get } from "./api.js";
import { change, clock } from "./format.js";
import { at, make, say } from "./page.js";
import { zone } from "./settings.js";

const MOST = 12;
const DAY_MS = 86_400_000;

export function nameOf({ exchange, source, symbol }) {
  return `${exchange}/${symbol}/${source}`;
}

export class Watch {
  #rows = new Map();
  #bases = new Map();

  /** onChoose(series) */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.series = [];
  }

  /** Symbols of a feed that are listed here. */
  symbols(exchange, source) {
    const of = this.series.filter((one) => one.exchange === exchange && one.source === source);
    return of.map((one) => one.symbol);
  }

  /** all: every series that is being built; where they are many, those of the chosen feed. */
  show(all, chosen) {
    const near = (one) => Number(one.exchange !== chosen.exchange || one.source !== chosen.source);
    const many = all.length > MOST;
    this.series = many ? all.toSorted((one, other) => near(one) - near(other)).slice(0, MOST) : all;
    this.#rows = new Map(this.series.map((one) => [nameOf(one), this.#row(one, chosen)]));
    const items = [...this.#rows.values()].map(({ item }) => item);
    const more = all.length - this.series.length;
    if (more > 0) items.push(make("li", "quiet", `and ${more} more: press / to search`));
    if (!items.length)
      items.push(make("li", "quiet", "Nothing is being built. Start a series below."));
    at("watch").replaceChildren(...items);
    for (const one of this.series) this.#draw(one);
  }

  #row(one, chosen) {
    const price = make("b", "number");
    const moved = make("span", "moved number");
    const name = make("span", "symbol", one.symbol, " ", make("i", "tag", one.source));
    const button = make("button", "", name, price, moved);
    button.type = "button";
    if (nameOf(one) === nameOf(chosen)) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => this.onChoose(one));
    return { item: make("li", "", button), price, moved };
  }

  /** The newest price of a series, and when it was. */
  price(one, price, time) {
    const known = this.#bases.get(nameOf(one)) ?? {};
    if (time < (known.time ?? 0)) return;
    this.#bases.set(nameOf(one), { ...known, price, time });
    this.#draw(one);
  }

  /** {price, base, since}: what is known of the change of a series. */
  known(one) {
    return this.#bases.get(nameOf(one)) ?? {};
  }

  #draw(one) {
    const row = this.#rows.get(nameOf(one));
    const { price, base } = this.known(one);
    if (!row || price === undefined) return;
    const moved = base === undefined ? "" : change(base, price);
    if (row.price.textContent && row.price.textContent !== price)
      flash(row.price, Number(price) >= Number(row.price.textContent));
    say(row.price, price);
    say(row.moved, moved);
    row.moved.className = `moved number ${moved.startsWith("−") ? "down" : "up"}`;
  }

  /** Read the prices of a day ago, and where none came yet the newest ones. */
  async refresh(interval) {
    for (const one of this.series) {
      try {
        await this.#read(one, interval);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        return;
      }
    }
  }

  async #read(one, interval) {
    const { exchange, source, symbol } = one;
    const asked = { exchange, source, symbol, interval, limit: 1 };
    const newest = (await get("/candlesticks", asked)).data[0];
    if (!newest) return;
    const then = Date.now() - DAY_MS;
    const before = (await get("/candlesticks", { ...asked, end: then })).data[0];
    const first = before ?? (await get("/candlesticks", { ...asked, start: then })).data[0];
    const since = before ? "in 24 h" : `since ${clock(first.open_time, zone())}`;
    const known = this.known(one);
    this.#bases.set(nameOf(one), { ...known, base: before ? before.close : first.open, since });
    this.price(one, newest.close, newest.close_time);
    this.#draw(one);
  }
}

function flash(element, up) {
  element.classList.remove("flash-up", "flash-down");
  // The style has to be computed in between, or the animation would not begin anew.
  element.getBoundingClientRect();
  element.classList.add(up ? "flash-up" : "flash-down");
}
