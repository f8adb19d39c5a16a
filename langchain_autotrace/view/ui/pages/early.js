// Before anything is drawn: light or dark, so that the page does not flash.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("trace-theme");
  } catch {
    // no storage
  }
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = chosen === "dark" || chosen === "light" ? chosen : isDark ? "dark" : "light";
})();
