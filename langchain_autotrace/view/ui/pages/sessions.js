// The list of sessions.

async function drawSessions() {
  drawFrame("Sessions");
  if (!content.contains(results)) show(filterBox, results);
  drawFilters();
  await loadSessions();
}

async function loadSessions() {
  const data = await latest("/api/sessions" + location.search);
  if (!data) return;
  const table = data.sessions.length ? sessionTable(data.sessions) : noSessions();
  fill(newestOnly(data.newest), table, pager(data, data.sessions.length));
}

function sessionTable(sessions) {
  const head = ["Session", "First question", "Turns", "Errors", "Tokens", "Cost", "Last turn"];
  return el(
    "table",
    { class: "traces sessions" },
    el("caption", { class: "unseen" }, "Sessions"),
    el("thead", {}, el("tr", {}, head.map((name, at) => el("th", { scope: "col", class: at > 1 ? "number" : at ? "preview" : "" }, name)))),
    el("tbody", {}, sessions.map(sessionRow)),
  );
}

function sessionRow(one) {
  const open = (event) => event.target.closest("a") || getSelection().toString() || location.assign(sessionLink(one.session));
  return el(
    "tr",
    { class: "trace", onclick: open },
    el("td", { class: "title" }, el("div", { class: "name" }, el("a", { href: sessionLink(one.session) }, plain(one.session))), one.user ? el("div", { class: "chips" }, chipLink(href("/", { user: one.user }), one.user, `Traces of the user ${one.user}`, "user")) : null),
    el("td", { class: "preview" }, el("div", { class: "said asked" }, plain(one.request.slice(0, MAX_SHOWN)))),
    el("td", { class: "number turns-cell" }, count(one.traces)),
    el("td", { class: "number errors-cell" + (one.errors ? " bad" : "") }, one.errors ? el("a", { href: href("/", { session: one.session, status: "ERROR" }) }, count(one.errors)) : "0"),
    el("td", { class: "number tokens" }, known(one.total_tokens, count)),
    el("td", { class: "number cost" }, known(one.cost_usd, money)),
    el("td", { class: "number started" }, moment(one.last_ms)),
  );
}

const noSessions = () =>
  nothing("No sessions.", el("p", {}, "A run belongs to a session by ", el("code", {}, "session_id"), ", ", el("code", {}, "thread_id"), " or ", el("code", {}, "conversation_id"), " in its metadata or configurable."));
