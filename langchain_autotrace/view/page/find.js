// Search in the spans of the trace: names, values, attributes, errors.

const SEARCH_DELAY = 80; // milliseconds after the last key
const counter = el("span", { class: "count", role: "status" });
const input = el("input", {
  type: "search",
  placeholder: "Search names and values",
  "aria-label": "Search in this trace",
  spellcheck: false,
});
let searchTimer = 0;

const hits = () => view.rows.filter((row) => view.found?.has(row.span)).map((row) => row.span);

function search() {
  needle = input.value.trim().toLowerCase();
  view.found = needle ? new Set(view.spans.filter((span) => textOf(span).includes(needle))) : null;
  refresh();
  counter.textContent = needle ? `${count(view.found.size)} of ${count(view.spans.length)}` : "";
  const [first] = hits();
  if (first && !view.found.has(view.selected)) select(first);
  else if (view.selected) select([view.selected, ...ancestors(view.selected)].find(isShown));
}

/** Choose the next one of some spans, after the chosen one in the order of the rows. */
function step(spans, by) {
  if (!spans.length) return;
  const at = spans.indexOf(view.selected);
  const rowAt = view.rowOf.get(view.selected) ?? -1;
  const after = spans.findIndex((span) => view.rowOf.get(span) > rowAt);
  const next = at >= 0 ? at + by : by > 0 ? (after < 0 ? 0 : after) : (after < 0 ? spans.length : after) - 1;
  select(spans[(next + spans.length) % spans.length]);
}

input.addEventListener("input", () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(search, SEARCH_DELAY);
});
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    clearTimeout(searchTimer);
    if (input.value.trim().toLowerCase() !== needle) search();
    else step(hits(), event.shiftKey ? -1 : 1);
  }
  if (event.key === "Escape") {
    input.value = "";
    search();
    rowsBox.focus();
  }
});
