// Light and dark: as the system is, or as chosen.

const dark = matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = null;

/** Read or write a setting that outlives the page; a page in a notebook's frame has no storage. */
function stored(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(name, value);
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function setTheme() {
  const theme = chosenTheme ?? stored("trace-theme");
  document.documentElement.dataset.theme = theme === "dark" || theme === "light" ? theme : dark.matches ? "dark" : "light";
}

function switchTheme() {
  chosenTheme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  stored("trace-theme", chosenTheme);
  setTheme();
}

