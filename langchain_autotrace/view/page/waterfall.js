// The tree beside its bars. Only the rows that are seen are in the page, however many spans there are.

const MORE_ROWS = 12; // drawn above and below what is seen
const MAX_GUIDES = 14; // levels that are indented
const space = el("div", { class: "space" });
const rowsBox = el("div", { class: "rows", tabIndex: 0, role: "tree", "aria-label": "Spans" }, space);
let drawn = new Map();
let waitingForFrame = false;

const rowHeight = () => parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) || 30;

/** Draw all visible rows anew. */
function drawRows() {
  drawn.clear();
  space.replaceChildren();
  space.style.height = view.rows.length * rowHeight() + "px";
  axis.style.paddingRight = rowsBox.offsetWidth - rowsBox.clientWidth + "px";
  drawVisible();
}

/** Draw the rows that have come into sight, drop those that have left it. */
function drawVisible() {
  const height = rowHeight();
  const first = Math.max(0, Math.floor(rowsBox.scrollTop / height) - MORE_ROWS);
  const last = Math.min(view.rows.length, Math.ceil((rowsBox.scrollTop + rowsBox.clientHeight) / height) + MORE_ROWS);
  for (const [at, node] of drawn) {
    if (at >= first && at < last) continue;
    node.remove();
    drawn.delete(at);
  }
  for (let at = first; at < last; at++) {
    if (drawn.has(at)) continue;
    const node = rowNode(view.rows[at], at);
    node.style.transform = `translateY(${at * height}px)`;
    drawn.set(at, node);
    space.append(node);
  }
  const at = view.rowOf.get(view.selected);
  if (drawn.has(at)) rowsBox.setAttribute("aria-activedescendant", "row-" + at);
  else rowsBox.removeAttribute("aria-activedescendant");
}

rowsBox.addEventListener("scroll", () => {
  if (waitingForFrame) return;
  waitingForFrame = true;
  requestAnimationFrame(() => {
    waitingForFrame = false;
    drawVisible();
  });
}, { passive: true });

// Ctrl and the wheel zoom the time at the pointer.
rowsBox.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoomBy(event.deltaY < 0 ? ZOOM : 1 / ZOOM, momentAt(event.clientX));
}, { passive: false });

function rowNode({ span, depth }, at) {
  const states = {
    failed: span.failed,
    quiet: span.type === "CHAIN" || span.type === "PARSER" || span.plumbing,
    on: span === view.selected,
    miss: view.found && !view.found.has(span),
  };
  const classes = Object.keys(states).filter((name) => states[name]);
  return el(
    "div",
    {
      class: ["row", kindOf(span), ...classes].join(" "),
      id: "row-" + at,
      role: "treeitem",
      "aria-level": String(depth + 1),
      "aria-selected": String(span === view.selected),
      "aria-expanded": span.children.length ? String(view.open.has(span)) : null,
      onclick: () => select(span, true),
    },
    nameNode(span, depth),
    trackNode(span),
  );
}

function nameNode(span, depth) {
  const guides = Array.from({ length: Math.min(depth, MAX_GUIDES) }, () => el("span", { class: "guide" }));
  const level = depth > MAX_GUIDES ? el("span", { class: "level", title: "level in the tree" }, String(depth)) : null;
  const state = span.children.length ? (view.open.has(span) ? " open" : "") : " leaf";
  const toggle = (event) => {
    event.stopPropagation();
    setOpen(span, !view.open.has(span));
  };
  const caret = el("span", { class: "caret" + state, onclick: toggle }, icon("caret"));
  const facts = [
    el("span", { class: "extra time" }, time(span.duration_us)),
    span.tokens?.total == null ? null : el("span", { class: "extra", title: "tokens" }, short(span.tokens.total) + " tok"),
    span.cost == null ? null : el("span", { class: "extra cost", title: "cost" }, money(span.cost)),
  ];
  const label = el("span", { class: "label", title: visible(span.name) }, plain(span.name));
  return el("div", { class: "name" }, guides, level, caret, el("span", { class: "icon" }, icon(kindOf(span))), label, facts);
}

/** The bar of a span, cut at the ends of the axis, with its duration beside it. */
function trackNode(span) {
  const from = placeOf(span.start_us);
  const to = placeOf(span.duration_us == null ? view.end : span.start_us + span.duration_us);
  const track = el("div", { class: "track" });
  if (from > 100 || to < 0) return track;
  const [left, right] = [Math.max(0, Math.min(99.6, from)), Math.min(100, to)];
  track.append(barNode("bar" + (span.duration_us == null ? " live" : ""), left, right));
  if (span.ttft_us != null) {
    const wait = barNode("bar wait", left, Math.min(right, placeOf(span.start_us + span.ttft_us)));
    wait.title = "until the first token";
    track.append(wait);
  }
  const label = el("div", { class: "bar-text" }, time(span.duration_us));
  if (right > 82 && left > 18) label.style.right = 100 - left + "%";
  else label.style.left = right + "%";
  track.append(label);
  return track;
}

function barNode(className, left, right) {
  const bar = el("div", { class: className });
  bar.style.left = left + "%";
  bar.style.width = Math.max(0, right - left) + "%";
  return bar;
}

/** Work out the rows and draw them and the axis. */
function refresh() {
  layOut();
  drawAxis();
  drawRows();
}

function setOpen(span, open) {
  if (open) view.open.add(span);
  else view.open.delete(span);
  refresh();
}

/** Open and scroll so that a span's row is in sight. */
function reveal(span) {
  const closed = ancestors(span).filter((parent) => !view.open.has(parent));
  for (const parent of closed) view.open.add(parent);
  if (!isShown(span)) showKeySteps(false);
  else if (closed.length) refresh();
  const height = rowHeight();
  const top = (view.rowOf.get(span) ?? 0) * height;
  const isSeen = top >= rowsBox.scrollTop && top + height <= rowsBox.scrollTop + rowsBox.clientHeight;
  if (!isSeen) rowsBox.scrollTop = top - rowsBox.clientHeight / 3;
}

/** Choose a span: its row is marked and its details are shown; on a phone, `read` turns to the details. */
function select(span, read = false) {
  view.selected = span;
  reveal(span);
  drawRows();
  drawDetail(span);
  if (read) main.classList.add("reading");
  setAddress(span);
}
