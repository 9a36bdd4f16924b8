// Times, lengths and numbers as text. Prices are never among them: they are shown as they came.

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

const REASONS = {
  started: "building began within it",
  restart: "this service was down",
  outage: "the exchange could not be reached",
  exchange_down: "the exchange did not answer",
  sequence_gap: "trades are missing",
  clock_step: "the clock leapt",
  not_subscribed: "nobody had asked for it",
  not_stored: "parts of it are not kept",
};

const CAUSES = {
  late_tick: "late trades",
  coverage: "what is known of its observation changed",
  repair: "repaired from the exchange's own candle",
  rebuild: "folded anew",
};

const formats = new Map();

/** `1m` is 60000 ms. */
export function lengthOf(interval) {
  return Number.parseInt(interval, 10) * UNITS[interval.at(-1)];
}

export function reasonText(reasons) {
  return reasons.map((reason) => REASONS[reason] ?? reason).join(", ");
}

export function causeText(cause) {
  return CAUSES[cause] ?? cause ?? "";
}

/** zone: "UTC", or undefined for the reader's own; parts: as Intl.DateTimeFormat has them. */
function formatted(time, zone, parts) {
  const key = `${zone} ${JSON.stringify(parts)}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...parts }));
  }
  return formats.get(key).format(time);
}

const HOURS = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

export function clock(time, zone, seconds = false) {
  return formatted(time, zone, seconds ? { ...HOURS, second: "2-digit" } : HOURS);
}

export function day(time, zone) {
  return formatted(time, zone, { day: "numeric", month: "short" });
}

export function month(time, zone) {
  return formatted(time, zone, { month: "short", year: "numeric" });
}

export function moment(time, zone, seconds = false) {
  return `${day(time, zone)} ${clock(time, zone, seconds)}`;
}

/** How long `ms` are, in the largest unit that leaves something. */
export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

export function bytes(count) {
  const unit = count < 1e6 ? [1e3, "kB"] : count < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  return `${(count / unit[0]).toFixed(1)} ${unit[1]}`;
}

/** A share of 0 to 1 as percent, never rounded up to all. */
export function percent(share) {
  if (share === 1) return "100 %";
  return `${(Math.floor(share * 10_000) / 100).toFixed(2)} %`;
}

/** From one price text to another, as signed percent; empty where there is no base. */
export function change(from, to) {
  const base = Number(from);
  if (!(base > 0)) return "";
  const moved = ((Number(to) - base) / base) * 100;
  return `${moved < 0 ? "−" : "+"}${Math.abs(moved).toFixed(2)} %`;
}

/** How many digits a price text has behind its point. */
export function decimals(text) {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}
