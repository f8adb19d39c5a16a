// The trace that is shown: its spans as a tree, and what is looked up in it.

/** All that the page knows of the trace that it shows; replaced when another one is chosen. */
let view = null;

const isModel = (span) => span.type === "CHAT_MODEL" || span.type === "LLM";
const byStart = (a, b) => a.start_us - b.start_us;

function openView({ trace, spans, files }) {
  for (const span of spans) Object.assign(span, { children: [], isRoot: false, failed: span.status === "ERROR" });
  const byId = new Map(spans.map((span) => [span.id, span]));
  const roots = grow(spans, byId);
  const models = spans.filter(isModel).sort(byStart);
  const toolSpans = new Map(spans.filter((span) => span.call_id).map((span) => [span.call_id, span]));
  const end = spans.reduce((most, span) => Math.max(most, span.start_us + (span.duration_us ?? 0)), trace.duration_us ?? 0);
  view = {
    trace, spans, files, byId, roots, models, toolSpans,
    end: end || 1,
    window: { from: 0, to: end || 1 },
    open: new Set(spans.filter((span) => span.children.length)),
    keySteps: spans.some((span) => span.plumbing),
    found: null,
    selected: null,
    rows: [],
    rowOf: new Map(),
    texts: new Map(),
  };
}

/** Give each span its children, by start; return the roots: also spans whose parent is missing or that form a circle. */
function grow(spans, byId) {
  const roots = [];
  for (const span of [...spans].sort(byStart)) {
    const parent = span.parent === span.id ? null : byId.get(span.parent);
    (parent ? parent.children : roots).push(span);
  }
  const reached = new Set();
  reach(roots, reached);
  for (const span of spans) {
    if (reached.has(span)) continue;
    const parent = byId.get(span.parent);
    parent.children = parent.children.filter((child) => child !== span);
    roots.push(span);
    reach([span], reached);
  }
  for (const root of roots) root.isRoot = true;
  return roots;
}

function reach(from, reached) {
  const waiting = [...from];
  while (waiting.length) {
    const span = waiting.pop();
    if (reached.has(span)) continue;
    reached.add(span);
    waiting.push(...span.children);
  }
}

const parentOf = (span) => (span.isRoot ? null : view.byId.get(span.parent));

function ancestors(span) {
  const found = [];
  for (let parent = parentOf(span); parent; parent = parentOf(parent)) found.push(parent);
  return found;
}

/** Whether a span has a row: in "key steps", plumbing has none unless a search found it. */
const isShown = (span) => !(view.keySteps && span.plumbing && !span.isRoot) || Boolean(view.found?.has(span));

/** Tokens of the model calls below a span; null where there are none. */
function tokensBelow(span) {
  const sum = { input: 0, output: 0, total: 0 };
  const waiting = [...span.children];
  let any = false;
  while (waiting.length) {
    const one = waiting.pop();
    if (one.tokens?.total == null) waiting.push(...one.children);
    else {
      any = true;
      for (const name of Object.keys(sum)) sum[name] += one.tokens[name] ?? 0;
    }
  }
  return any ? sum : null;
}

/** All that search looks through, in lower case. */
function textOf(span) {
  if (!view.texts.has(span)) {
    const parts = [span.name, span.type, span.id, span.model, span.error, span.inputs, span.outputs, span.attributes, span.events, span.tools];
    view.texts.set(span, parts.filter((part) => part != null).map((part) => searchable(part)).join("\n").toLowerCase());
  }
  return view.texts.get(span);
}

/** A value's texts and keys as they are shown, not as JSON escapes them. */
function searchable(value) {
  if (!value || typeof value !== "object") return String(value);
  const parts = [];
  const waiting = [value];
  while (waiting.length) {
    const one = waiting.pop();
    if (one === null || typeof one !== "object") parts.push(String(one));
    else {
      if (!Array.isArray(one)) parts.push(...Object.keys(one));
      waiting.push(...Object.values(one));
    }
  }
  return parts.join("\n");
}

/** The rows of the tree, in order: what is open, and in a search everything. */
function layOut() {
  view.rows = [];
  const waiting = view.roots.map((span) => [span, 0]).reverse();
  while (waiting.length) {
    const [span, depth] = waiting.pop();
    const shown = isShown(span);
    if (shown) view.rows.push({ span, depth });
    if (shown && !view.open.has(span) && !view.found) continue;
    for (let at = span.children.length; at--; ) waiting.push([span.children[at], depth + (shown ? 1 : 0)]);
  }
  view.rowOf = new Map(view.rows.map((row, at) => [row.span, at]));
}
