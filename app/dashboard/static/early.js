// Before anything is drawn, so that no page flashes in the other colors.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("candlekeep.theme");
  } catch {
    // Storage may be forbidden: then the system's choice counts.
  }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
})();
