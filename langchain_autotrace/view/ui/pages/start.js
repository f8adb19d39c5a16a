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

const draw = () => guarded(ROUTES[location.pathname] ?? notThere);

async function start() {
  document.getElementById("app").replaceChildren(siteBar, content);
  document.body.classList.add("site-page");
  await draw();
  performance.mark("drawn");
  if (location.pathname === "/") followChanges();
  if (!FILTERED.has(location.pathname)) return;
  const lists = await read("/api/choices").catch(() => null);
  if (lists) offer(lists);
}

dark.addEventListener("change", setTheme);
addEventListener("addresschange", draw);
setTheme();
start();
