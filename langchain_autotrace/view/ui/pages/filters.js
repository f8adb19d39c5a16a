// The filters over lists, sessions and the overview.

const RANGES = [["", "Any time"], ["1h", "Last hour"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"]];
const STATUSES = [["", "All"], ["OK", "OK"], ["ERROR", "Error"], ["IN_PROGRESS", "Running"]];
const FIELDS = [
  ["experiment", "Experiment", "text"], ["name", "Name", "text"], ["model", "Model", "text"], ["user", "User", "text"],
  ["session", "Session", "text"], ["tag", "Tag", "text", "key=value"], ["logged_model", "Logged model", "text", "m-…"],
  ["min_ms", "Duration from", "number", "ms"], ["max_ms", "Duration to", "number", "ms"],
  ["min_cost", "Cost from", "number", "US$"], ["max_cost", "Cost to", "number", "US$"],
  ["since", "From", "datetime-local"], ["until", "Until", "datetime-local"],
];
const CHOICES = { experiment: "experiments", name: "names", model: "models", user: "users" };
const TYPING_DELAY = 250; // milliseconds after the last key

let panelOpen = false;
let typing = 0;

const textInput = el("input", { type: "search", placeholder: "Search questions and answers", "aria-label": "Search questions and answers", spellcheck: false });
const filterBox = el("div", { class: "filters" });

textInput.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => go({ text: textInput.value.trim() || null }), TYPING_DELAY);
});
textInput.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  clearTimeout(typing);
  if (textInput.value.trim() !== (params().get("text") ?? "")) go({ text: textInput.value.trim() || null });
});

/** The bar of filters, as the address says them. */
function drawFilters() {
  const now = params();
  if (document.activeElement !== textInput) textInput.value = now.get("text") ?? "";
  const status = STATUSES.map(([value, name]) =>
    el("button", { "aria-pressed": String((now.get("status") ?? "") === value), onclick: () => go({ status: value || null }) }, name),
  );
  const since = now.get("since") ?? "";
  const ranges = RANGES.some(([value]) => value === since) && !now.get("until") ? RANGES : [...RANGES, [since, "Chosen range"]];
  const range = el(
    "select",
    { "aria-label": "Time range", class: "chooser", onchange: (event) => go({ since: event.target.value || null, until: null }) },
    ranges.map(([value, name]) => el("option", { value, selected: ranges === RANGES ? value === since : name === "Chosen range" }, name)),
  );
  const active = activeFilters(now);
  const more = el("button", { class: "plain-button", "aria-expanded": String(panelOpen), "aria-controls": "filter-panel", onclick: togglePanel }, icon("filter"), "Filters", active.length ? el("b", { class: "number" }, String(active.length)) : null);
  syncPanel(now);
  keepingFocus(filterBox, () => filterBox.replaceChildren(
    el("h1", { class: "unseen" }, VIEWS.find(([path]) => path === location.pathname)[1]),
    el("div", { class: "filter-line" }, el("label", { class: "search" }, icon("search"), textInput), el("div", { class: "segment", role: "group", "aria-label": "Status" }, status), range, more),
    panelBox,
    ...(active.length ? [el("div", { class: "chips active" }, active.map(activeChip), el("button", { class: "quiet-button", onclick: clearFilters }, "Clear all"))] : []),
  ));
}

function togglePanel() {
  panelOpen = !panelOpen;
  drawFilters();
  if (panelOpen) panelBox.querySelector("input").focus();
}

const isMoment = (name) => name === "since" || name === "until";

/** Filters of the panel that are set, as [name, label, value]. */
function activeFilters(now) {
  return FIELDS.flatMap(([name, label]) => now.getAll(name).filter(Boolean).map((value) => [name, label, value])).filter(
    ([name, , value]) => !(name === "since" && RANGES.some(([range]) => range === value)),
  );
}

function activeChip([name, label, value]) {
  const text = isMoment(name) && /^\d+$/.test(value) ? new Date(Number(value)).toLocaleString() : value;
  const rest = params().getAll(name).filter((one) => one !== value);
  const remove = el("button", { "aria-label": visible(`Remove ${label} ${text}`), onclick: () => go({ [name]: rest.length ? rest : null }) }, icon("cross"));
  return el("span", { class: "chip" }, label + ": ", el("b", {}, plain(text)), remove);
}

const clearFilters = () => go(Object.fromEntries(FIELDS.map(([name]) => [name, null])));

function fieldNode([name, label, type, placeholder = ""]) {
  const isNumber = type === "number";
  const input = el("input", { type, placeholder, name, autocomplete: "off", min: isNumber ? "0" : null, step: isNumber ? "any" : null, onchange: (event) => go({ [name]: readField(event.target) }) });
  const hasChoices = Object.hasOwn(CHOICES, name);
  if (hasChoices) input.setAttribute("list", "choices-" + name);
  return el("label", { class: "field" }, el("span", {}, label), input, hasChoices ? el("datalist", { id: "choices-" + name }) : null);
}

// The panel is made once: what is being typed stays when the bar is drawn anew.
const panelBox = el("div", { class: "panel", id: "filter-panel", hidden: true }, FIELDS.filter(([name]) => name !== "logged_model").map(fieldNode));

function syncPanel(now) {
  panelBox.hidden = !panelOpen;
  for (const input of panelBox.querySelectorAll("input")) {
    const value = now.get(input.name) ?? "";
    if (input !== document.activeElement) input.value = isMoment(input.name) ? localTime(value) : value;
  }
}

/** Offer the values that there are. */
function offer(lists) {
  for (const [name, key] of Object.entries(CHOICES)) {
    panelBox.querySelector("#choices-" + name).replaceChildren(...lists[key].map((one) => el("option", { value: one })));
  }
}

function readField(input) {
  const text = input.value.trim();
  if (!text) return null;
  return isMoment(input.name) ? String(new Date(text).getTime()) : text;
}

/** Milliseconds as an input of the user's local time has them. */
function localTime(value) {
  if (!/^\d+$/.test(value)) return "";
  const date = new Date(Number(value));
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
