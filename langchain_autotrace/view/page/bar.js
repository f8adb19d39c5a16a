// The bar at the top: which trace, its facts, and what can be done with the page.

const TRACE_STATES = { OK: "OK", ERROR: "Error", IN_PROGRESS: "Running" };
/** What a server that shows the page adds to the bar; a page on its own has no such things. */
const extras = { links: () => [], actions: () => [], sessionLink: () => null };

const iconButton = (name, label, title, onclick) => el("button", { class: "icon-button", title, "aria-label": label, onclick }, icon(name));
const topBar = el("header", { class: "top" });

function drawTop() {
  const { trace } = view;
  const [root] = view.roots;
  const byStatus = known(TRACE_STATES, trace.status) ? [trace.status, TRACE_STATES[trace.status]] : ["UNSET", "Unknown"];
  const [state, label] = known(OUTCOMES, root?.outcome) ? stateOf(root) : byStatus;
  document.title = visible(trace.name) + " · trace";
  const actions = [
    el("button", { class: "id", title: "Copy the trace's id", onclick: () => copy(trace.trace_id) }, plain(trace.trace_id.slice(0, 14) + "…")),
    iconButton("save", "Download as JSON", "Download as JSON", downloadTrace),
    iconButton("theme", "Light or dark", "Light or dark (t)", switchTheme),
    ...extras.actions(trace),
    iconButton("help", "Keys", "Keys (?)", () => help.showModal()),
  ];
  topBar.replaceChildren(
    ...extras.links(),
    ...[chooser()].filter(Boolean),
    el("h1", { title: visible(trace.name) }, plain(trace.name)),
    el("span", { class: "pill " + state }, label),
    el("div", { class: "facts" }, factNodes(trace)),
    el("div", { class: "actions" }, actions),
  );
}

function factNodes(trace) {
  const fact = (what, name = "") => (what == null ? null : el("span", {}, el("b", {}, plain(what)), name && " " + name));
  const named = (name, what, href = null) => {
    const text = what ? el("b", {}, plain(what)) : null;
    return text && el("span", {}, name + " ", href ? el("a", { href }, text) : text);
  };
  const failed = view.spans.filter((span) => span.failed).length;
  return [
    fact(trace.duration_us == null ? null : time(trace.duration_us)),
    fact(count(trace.tokens.total), "tokens"),
    fact(money(trace.cost_usd)),
    failed ? el("button", { class: "errors", title: "Next error (e)", onclick: () => step(failures(), 1) }, `${count(failed)} ${failed === 1 ? "error" : "errors"}`) : null,
    named("session", trace.session, extras.sessionLink(trace.session)),
    named("user", trace.user),
    el("span", {}, new Date(trace.start_ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })),
  ];
}

const failures = () => view.rows.filter((row) => row.span.failed).map((row) => row.span);

function downloadTrace() {
  save(view.trace.trace_id + ".json", "application/json", traceTexts[shownTrace].textContent);
}
