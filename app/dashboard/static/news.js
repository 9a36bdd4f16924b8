// What happened while the page was open, newest first; said aloud to screen readers.

import { clock } from "./format.js";
import { at, make, say } from "./page.js";
import { zone } from "./settings.js";

const KEPT = 50;

/** kind: `correction`, `lost`, `back` or `note`. */
export function tell(kind, text) {
  const list = at("news");
  list.querySelector(".quiet")?.remove();
  const time = make("time", "", clock(Date.now(), zone(), true));
  list.prepend(make("li", kind, time, " ", text));
  while (list.children.length > KEPT) list.lastElementChild.remove();
  say(at("said"), text);
}
