// What the reader prefers: colors, and the time zone of the axis. Remembered in this browser.

import { at, recall, remember, say } from "./page.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

/** onChange(): the colors are others now. */
export function followTheme(onChange) {
  dark.addEventListener("change", onChange);
  at("theme").addEventListener("click", () => toggleTheme(onChange));
}

export function toggleTheme(onChange) {
  const now = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  remember("theme", next);
  onChange();
}

/** "UTC", as windows are cut in it, or undefined for the reader's own zone. */
export function zone() {
  return recall("zone") === "local" ? undefined : "UTC";
}

export function toggleZone() {
  remember("zone", zone() === "UTC" ? "local" : "UTC");
}

export function showZone() {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  say(at("zone"), zone() ?? own.split("/").at(-1).replaceAll("_", " "));
}
