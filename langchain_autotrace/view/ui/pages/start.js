// Which view the address names.

const ROUTES = {
  "/": drawList, "/sessions": drawSessions, "/session": drawSession, "/overview": drawOverview,
  "/compare": drawCompare, "/models": drawModels, "/model": drawModel,
};
const FILTERED = new Set(["/", "/sessions", "/overview"]);

function notThere() {
  drawFrame("Not found");
  show(heading("There is no such page"), el("p", {}, "The trace may have been deleted, or belongs to another store."), el("p", {}, el("a", { href: "/" }, "All traces")));
}

function draw() {
  drawnAnswers.clear();
  return guarded(ROUTES[location.pathname] ?? notThere);
}

async function start() {
  document.getElementById("app").replaceChildren(siteBar, content);
  document.body.classList.add("site-page");
  // What changes while the view is read is read again; the list's data have their version.
  const before = reload && !isList ? (await changes(0, 0).catch(() => null))?.version : null;
  await draw();
  performance.mark("drawn");
  if (reload) followChanges(before ?? listed?.version ?? 0);
  if (!FILTERED.has(location.pathname)) return;
  const lists = await read("/api/choices").catch(() => null);
  if (lists) offer(lists);
}

dark.addEventListener("change", setTheme);
addEventListener("addresschange", draw);
setTheme();
start();
