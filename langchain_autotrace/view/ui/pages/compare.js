// Two traces beside each other: facts, the trees in one, and what differs in the spans that both have.

async function drawCompare() {
  drawFrame("Compare");
  const [a, b] = [params().get("a"), params().get("b")];
  if (!a || !b) return show(heading("Compare two traces"), chooseBoth(a, b));
  const data = await read("/api/compare" + location.search);
  const onlyChanged = params().get("only") === "1";
  const pairs = onlyChanged ? data.pairs.filter(differs) : data.pairs;
  show(
    heading("Compare two traces", el("span", { class: "grow" }), switchButton("only", "Differences only"), switchButton("all", "All steps"), el("button", { class: "plain-button", onclick: () => go({ a: b, b: a }) }, "Swap")),
    factsTable(data.traces),
    data.pairs.some(differs) ? null : el("p", { class: "note" }, "Both have the same steps, inputs and outputs."),
    el("ol", { class: "pairs", "aria-label": "Spans" }, pairs.map((pair) => pairBox(pair, [a, b]))),
  );
}

const differs = ({ spans, changes }) => !spans[0] || !spans[1] || changes.length > 0;

function switchButton(name, label) {
  const on = params().get(name) === "1";
  return el("button", { class: "plain-button toggle", "aria-pressed": String(on), onclick: () => go({ [name]: on ? null : "1" }) }, label);
}

/** A form for the two ids: what is chosen in the list leads here with both. */
function chooseBoth(a, b) {
  const field = (label, value) => el("input", { type: "text", value: value ?? "", "aria-label": label, placeholder: "tr-…", spellcheck: false });
  const [first, second] = [field("First trace", a), field("Second trace", b)];
  const compare = (event) => {
    event.preventDefault();
    go({ a: first.value.trim(), b: second.value.trim() });
  };
  return el("form", { class: "two-ids", onsubmit: compare }, first, second, el("button", { class: "primary" }, "Compare"), el("p", { class: "note" }, "Or choose two traces in the list. “last” is the newest one."));
}

function factsTable(traces) {
  const [a, b] = traces;
  const side = (one) => el("a", { href: traceLink(one.trace_id) }, plain(one.name));
  const row = (name, left, right, change = null, better = "") =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, left), el("td", {}, right), el("td", { class: "change " + better }, change));
  const numbers = (name, left, right, format) => {
    if (left == null && right == null) return null;
    const by = left != null && right != null && left !== right ? (right > left ? "+" : "−") + format(Math.abs(right - left)) : "";
    const share = by && left ? ` (${right > left ? "+" : "−"}${Math.round((Math.abs(right - left) / left) * 100)} %)` : "";
    return row(name, format(left) ?? "–", format(right) ?? "–", by + share, by ? (right > left ? "worse" : "better") : "");
  };
  return el(
    "div",
    { class: "card facts-card" },
    el(
      "table",
      { class: "facts-table" },
      el("thead", {}, el("tr", {}, el("td"), el("th", { scope: "col" }, "A"), el("th", { scope: "col" }, "B"), el("th", { scope: "col" }, "Change"))),
      el("tbody", {}, [
        row("Trace", side(a), side(b)),
        row("Status", pill(a.status), pill(b.status)),
        row("Started", moment(a.start_ms), moment(b.start_ms)),
        numbers("Duration", a.duration_ms, b.duration_ms, ms),
        numbers("Tokens", a.tokens.total, b.tokens.total, count),
        numbers("Cost", a.cost_usd, b.cost_usd, money),
      ].filter(Boolean)),
    ),
  );
}

function pairBox(pair, ids) {
  const [old, fresh] = pair.spans;
  const state = !old ? "added" : !fresh ? "removed" : pair.changes.length ? "changed" : "same";
  const mark = { added: "only in B", removed: "only in A", changed: "differs", same: "same" }[state];
  const link = (span, at) => (span ? el("a", { href: `${traceLink(ids[at])}#span=${encodeURIComponent(span.id)}`, title: "Open the span" }, numbersOf(span)) : el("span", { class: "none" }, "–"));
  const kind = kindOf(pair);
  const head = el(
    "div",
    { class: "pair-head" },
    el("span", { class: "icon " + kind }, icon(kind)),
    el("b", {}, plain(pair.name)),
    el("span", { class: "mark" }, mark),
    el("span", { class: "grow" }),
    el("span", { class: "sides" }, link(old, 0), " → ", link(fresh, 1)),
  );
  const box = el("li", { class: "pair " + state }, head, pair.changes.map(changeBox));
  box.style.setProperty("--depth", Math.min(pair.depth, 14));
  return box;
}

const numbersOf = (span) => [time(span.duration_us), span.tokens == null ? null : `${count(span.tokens)} tok`].filter(Boolean).join(", ");

const changeBox = ({ name, lines }) =>
  el("div", { class: "change-box" }, el("div", { class: "hint" }, name), el("div", { class: "lines" }, joined(lines).map(([mark, text, other]) => lineBox(mark, text, other))));

/** Lines of a difference as [mark, text, the line that it replaces or that replaces it]. */
function joined(lines) {
  const found = lines.map((line) => (line === "…" ? ["…", "", null] : [line[0], line.slice(1), null]));
  for (let at = 0; at + 1 < found.length; at++) {
    const isPair = found[at][0] === "-" && found[at + 1][0] === "+" && found[at - 1]?.[0] !== "-" && found[at + 2]?.[0] !== "+";
    if (isPair) [found[at][2], found[at + 1][2]] = [found[at + 1][1], found[at][1]];
  }
  return found;
}

function lineBox(mark, text, other) {
  const kind = { "-": "out", "+": "in", "…": "gap" }[mark] ?? "";
  if (mark === "…") return el("div", { class: "line gap" }, "⋯");
  return el("div", { class: "line " + kind }, el("span", { class: "sign" }, kind ? mark.replace("-", "−") : ""), el("span", { class: "text" }, other == null ? plain(text) : between(text, other)));
}

/** A text in which the part that another does not have is marked: what is between a common start and a common end. */
function between(text, other) {
  const [a, b] = [[...text], [...other]];
  let from = 0;
  while (from < a.length && from < b.length && a[from] === b[from]) from++;
  let last = 0;
  while (last < a.length - from && last < b.length - from && a[a.length - 1 - last] === b[b.length - 1 - last]) last++;
  const part = (start, end) => plain(a.slice(start, end).join(""));
  return [part(0, from), el("b", {}, part(from, a.length - last)), part(a.length - last)];
}
