// What is around each view: the bar with its links, the title, and the place for what went wrong.

PATHS.session = "M4 5h16v11H10l-5 4v-4H4z";
PATHS.trash = "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5";
PATHS.spark = "M4 19V9M10 19V5M16 19v-7M22 19H2";
PATHS.filter = "M4 6h16M7 12h10M10 18h4";
PATHS.cross = "M6 6l12 12M18 6L6 18";
PATHS.next = "M9 6l6 6-6 6";
PATHS.compare = "M8 4v16M16 4v16M3 8h5M16 8h5M3 14h5M16 14h5";

const VIEWS = [["/", "Traces"], ["/sessions", "Sessions"], ["/overview", "Overview"], ["/models", "Models"]];
const PARENTS = { "/session": "/sessions", "/model": "/models", "/compare": "/" };
const store = document.querySelector('meta[name="store"]').content;
/** Stands where data will be; seen only where they take long, as from a server. */
const reading = () => el("p", { class: "note reading", role: "status" }, "Reading…");
const content = el("main", { class: "content", id: "content" }, reading());
const liveDot = el("span", { class: "live", role: "status", hidden: true }, "Live");

/** The links keep the filters: from the errors of a day in the list to those in the overview. */
function navigation() {
  const here = PARENTS[location.pathname] ?? location.pathname;
  const keep = ["/", "/overview", "/sessions"].includes(location.pathname) ? filterValues() : {};
  return VIEWS.map(([path, name]) =>
    el("a", { href: href(path, path === "/models" ? {} : keep), "aria-current": path === here ? "page" : null }, name),
  );
}

const navBox = el("nav", { "aria-label": "Views" });
const siteBar = el(
  "header",
  { class: "site" },
  el("a", { class: "brand", href: "/" }, el("span", { class: "icon AGENT" }, icon("AGENT")), "autotrace"),
  navBox,
  el("span", { class: "grow" }),
  liveDot,
  el("span", { class: "store", title: "The store: " + visible(store) }, plain(shortStore(store))),
  el("button", { class: "icon-button", title: "Light or dark", "aria-label": "Light or dark", onclick: switchTheme }, icon("theme")),
);

/** The end of a store's address: a database's file, a server's host. */
function shortStore(uri) {
  if (!uri.startsWith("sqlite:")) return uri.replace(/^\w+:\/\//, "");
  return uri.split("/").slice(-2).join("/");
}

function drawFrame(title) {
  document.title = visible(title) + " · autotrace";
  navBox.replaceChildren(...navigation());
}

/** The part of a view that its data fill: it is drawn anew when they change, what is around it stays. */
const results = el("div", { class: "results" }, reading());

/** Show what a view is made of. */
const show = (...nodes) => content.replaceChildren(...nodes.flat(Infinity).filter(Boolean));

/** Fill the part of a view that its data fill. */
const fill = (...nodes) => keepingPlace(results, () => results.replaceChildren(...nodes.flat(Infinity).filter(Boolean)));

const readTurns = new Map();
const drawnAnswers = new Map();

/** Read data for a view. Null when they are read anew meanwhile, or when they are as they are drawn, some keys apart. */
async function latest(address, ignored = []) {
  const path = address.split("?")[0];
  const turn = (readTurns.get(path) ?? 0) + 1;
  readTurns.set(path, turn);
  const data = await read(address);
  const text = JSON.stringify(data, (key, value) => (ignored.includes(key) ? undefined : value));
  if (turn !== readTurns.get(path) || drawnAnswers.get(path) === text) return null;
  drawnAnswers.set(path, text);
  return data;
}

const problemBox = (error) => el("div", { class: "problem-box", role: "alert" }, el("b", {}, "That did not work"), el("p", {}, plain(error.message)));

/** Run what draws a view; what it throws is shown in its place. */
async function guarded(draw) {
  try {
    await draw();
  } catch (error) {
    if (error.name !== "AbortError") show(problemBox(error));
  }
}
