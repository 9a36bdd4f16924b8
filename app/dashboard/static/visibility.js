// Whether anybody sees the page. A browser opens six connections to a host at most, over all of its
// pages: one that nobody sees for long should hold none.

const LONG_MS = 60_000;

/** onAway(): hidden for a minute; onShown(): seen again, after whatever time. */
export function observe(onAway, onShown) {
  let timer = 0;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(onAway, LONG_MS);
    else onShown();
  };
  document.addEventListener("visibilitychange", look);
  if (document.hidden) look();
}
