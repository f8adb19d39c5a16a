// The keyboard.

const KEYS = [
  ["↑ ↓", "previous, next span"],
  ["← →", "close, open; to the parent"],
  ["Home End", "first, last span"],
  ["Enter Esc", "to the span's details, back to the tree"],
  ["/", "search; then Enter: next hit"],
  ["e", "next error"],
  ["s", "key steps, all spans"],
  ["z", "zoom to the span; or drag over the axis"],
  ["+ − 0", "zoom in, out, whole trace"],
  ["[ ]", "previous, next trace of this page"],
  ["t", "light, dark"],
  ["?", "this list"],
];
const help = el(
  "dialog",
  { "aria-label": "Keys" },
  el("h2", {}, "Keys"),
  el("dl", {}, KEYS.map(([keys, what]) => [el("dt", {}, keys.split(" ").map((key) => el("kbd", {}, key))), el("dd", {}, what)])),
);
help.addEventListener("click", () => help.close());

const goTo = (at) => view.rows[at] && select(view.rows[at].span);
const rowAt = () => view.rowOf.get(view.selected) ?? -1;
const isOpen = (span) => view.open.has(span) || view.found !== null;

const ACTIONS = {
  ArrowDown: () => goTo(rowAt() + 1),
  ArrowUp: () => goTo(rowAt() - 1),
  Home: () => goTo(0),
  End: () => goTo(view.rows.length - 1),
  ArrowRight: () => (view.selected.children.length && !isOpen(view.selected) ? setOpen(view.selected, true) : goTo(rowAt() + 1)),
  ArrowLeft: () => {
    const parent = ancestors(view.selected).find(isShown);
    if (view.selected.children.length && view.open.has(view.selected) && !view.found) setOpen(view.selected, false);
    else if (parent) select(parent);
  },
  Enter: () => {
    main.classList.add("reading");
    right.focus();
  },
  Escape: () => {
    main.classList.remove("reading");
    rowsBox.focus();
  },
  "/": () => {
    input.focus();
    input.select();
  },
  e: () => step(failures(), 1),
  s: () => showKeySteps(!view.keySteps),
  z: () => zoomToSpan(view.selected),
  "+": () => zoomBy(ZOOM),
  "=": () => zoomBy(ZOOM),
  "-": () => zoomBy(1 / ZOOM),
  0: () => zoomTo(0, view.end),
  "[": () => showTrace(shownTrace - 1),
  "]": () => showTrace(shownTrace + 1),
  t: switchTheme,
  "?": () => help.showModal(),
};
const OF_THE_TREE = new Set(["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Home", "End", "Enter"]);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open || !view?.selected) return;
  if (event.target.closest("input, select, audio, video, textarea")) return;
  // Elsewhere than in the tree, these keys scroll, press, and fold.
  const isElsewhere = right.contains(event.target) || event.target.closest("button, a, summary");
  if (isElsewhere && OF_THE_TREE.has(event.key)) return;
  if (!Object.hasOwn(ACTIONS, event.key)) return;
  event.preventDefault();
  ACTIONS[event.key]();
});
