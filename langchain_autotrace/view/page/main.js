// The page: its traces, its parts, its address.

/** The data of each trace, as text that is parsed when the trace is shown. */
const traceTexts = [...document.querySelectorAll("script.trace")];
let shownTrace = 0;

const few = el("button", { title: "Without the steps that LangChain and LangGraph made by themselves", onclick: () => showKeySteps(true) }, "Key steps");
const all = el("button", { onclick: () => showKeySteps(false) }, "All");
const segment = el("div", { class: "segment", role: "group", "aria-label": "Spans to show" }, few, all);
const tools = el("div", { class: "tools" }, el("label", { class: "search" }, icon("search"), input, counter), segment);
const left = el("div", { class: "left" }, tools, axis, rowsBox);
const handle = el("div", {
  class: "handle", role: "separator", tabIndex: 0, "aria-orientation": "vertical", "aria-label": "Width of the tree",
  "aria-valuemin": "28", "aria-valuemax": "75", "aria-valuenow": "54",
});
const main = el("main", { class: "main" }, left, handle, right);
let split = 54;

function setSplit(percent) {
  split = Math.min(75, Math.max(28, percent));
  main.style.setProperty("--split", split + "%");
  handle.setAttribute("aria-valuenow", Math.round(split));
  drawRows();
}

handle.addEventListener("pointerdown", (event) => {
  handle.setPointerCapture(event.pointerId);
  handle.onpointermove = (move) => setSplit((move.clientX / innerWidth) * 100);
});
handle.addEventListener("pointerup", () => (handle.onpointermove = null));
handle.addEventListener("keydown", (event) => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  setSplit(split + (event.key === "ArrowLeft" ? -2 : 2));
  event.stopPropagation();
});

function showKeySteps(on) {
  view.keySteps = on && view.spans.some((span) => span.plumbing);
  few.setAttribute("aria-pressed", String(view.keySteps));
  all.setAttribute("aria-pressed", String(!view.keySteps));
  refresh();
  if (view.selected && !isShown(view.selected)) select(ancestors(view.selected).find(isShown) ?? view.rows[0].span);
}

/** A menu of the page's traces, where there are several. */
function chooser() {
  if (traceTexts.length < 2) return null;
  const label = (text, at) => `${at + 1} of ${traceTexts.length}: ${visible(text.dataset.name)}`;
  const options = traceTexts.map((text, at) => el("option", { value: String(at), selected: at === shownTrace }, label(text, at)));
  return el("select", { class: "chooser", "aria-label": "Trace", onchange: (event) => showTrace(Number(event.target.value)) }, options);
}

function showTrace(at, spanId = null) {
  if (!traceTexts[at]) return;
  shownTrace = at;
  openView(JSON.parse(traceTexts[at].textContent));
  [needle, input.value, counter.textContent] = ["", "", ""];
  main.classList.remove("reading");
  segment.hidden = !view.spans.some((span) => span.plumbing);
  rowsBox.scrollTop = 0;
  drawTop();
  showKeySteps(view.keySteps);
  const span = view.byId.get(spanId) ?? view.roots[0];
  if (span) select(span, Boolean(spanId && view.byId.has(spanId)));
  else right.replaceChildren(el("p", { class: "nothing" }, "This trace has no spans."));
}

/** The address names the chosen trace and span, so that a link leads to them. */
function setAddress(span) {
  const parts = new URLSearchParams({ ...(traceTexts.length > 1 ? { trace: view.trace.trace_id } : {}), span: span.id });
  try {
    history.replaceState(null, "", "#" + parts);
  } catch {
    // a notebook's frame has no history
  }
}

function followAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const at = traceTexts.findIndex((text) => text.dataset.id === parts.get("trace"));
  const wanted = at < 0 ? shownTrace : at;
  const span = view?.byId.get(parts.get("span"));
  if (!view || wanted !== shownTrace) showTrace(wanted, parts.get("span"));
  else if (span && span !== view.selected) select(span, true);
}

dark.addEventListener("change", setTheme);
addEventListener("hashchange", followAddress);
addEventListener("resize", () => view && drawRows());
setTheme();
document.getElementById("app").replaceChildren(topBar, main, help);
followAddress();
performance.mark("drawn");
