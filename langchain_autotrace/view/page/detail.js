// What is known of one span.

const OUTCOMES = {
  interrupted: "Interrupted",
  abandoned: "Stream closed early",
  cancelled: "Cancelled",
  lost: "Process died",
};
const right = el("div", { class: "right", tabIndex: 0, role: "region", "aria-label": "Span" });

function drawDetail(span) {
  const sections = [headNode(span), statsNode(span), ...faultNodes(span), ...contentSections(span)];
  sections.push(requestSection(span), toolsSection(span), eventsSection(span), attributesSection(span));
  if (span.isRoot && span === view.roots[0]) sections.push(traceSection());
  right.replaceChildren(el("div", { class: "detail " + kindOf(span) }, sections));
  right.scrollTop = 0;
}

function section(title, note, body, raw) {
  const holder = el("div", {}, body);
  const head = el("header", {}, el("h3", {}, title), note ? el("span", { class: "note" }, note) : null, el("span", { class: "grow" }));
  if (raw !== undefined) head.append(rawButton(title, holder, body, raw), copyButton(() => asText(raw), "Copy", `Copy ${title}`));
  return el("section", { "aria-label": title }, head, holder);
}

/** A button that changes a section's body to JSON and back. */
function rawButton(title, holder, body, raw) {
  let isRaw = false;
  const change = () => {
    isRaw = !isRaw;
    button.textContent = isRaw ? "Formatted" : "JSON";
    holder.replaceChildren(...[isRaw ? long(asText(raw), (text) => el("pre", {}, plain(text))) : body].flat());
  };
  const button = el("button", { class: "quiet-button", onclick: change }, "JSON");
  return button;
}

function stateOf(span) {
  const outcome = known(OUTCOMES, span.outcome);
  if (span.failed) return ["ERROR", outcome ?? "Error"];
  if (outcome) return ["warn", outcome];
  return span.duration_us == null ? ["UNSET", "Running"] : ["OK", "OK"];
}

function headNode(span) {
  const back = () => {
    main.classList.remove("reading");
    rowsBox.focus();
  };
  const [state, label] = stateOf(span);
  return el(
    "div",
    { class: "head" },
    el("button", { class: "icon-button back", "aria-label": "Back to the tree", onclick: back }, icon("back")),
    el("span", { class: "icon" }, icon(kindOf(span))),
    el("h2", {}, plain(span.name)),
    el("span", { class: "grow" }),
    el("span", { class: "pill " + state }, label),
  );
}

function statsNode(span) {
  const stat = (name, ...what) => el("div", {}, el("dt", {}, name), el("dd", {}, what));
  const stats = [
    stat("Type", plain(span.type.toLowerCase().replaceAll("_", " "))),
    stat("Duration", time(span.duration_us)),
    span.start_us > 0 ? stat("Starts at", "+" + time(span.start_us)) : null,
    span.model ? stat("Model", plain(span.model)) : null,
    tokensStat(span, stat),
    span.cost != null ? stat("Cost", money(span.cost)) : null,
    span.ttft_us != null ? stat("First token after", time(span.ttft_us)) : null,
  ];
  return el("dl", { class: "stats" }, stats);
}

function tokensStat(span, stat) {
  const tokens = span.tokens ?? tokensBelow(span);
  if (tokens?.total == null) return null;
  const cached = tokens.cached ? ` (${count(tokens.cached)} cached)` : "";
  const thinking = tokens.reasoning ? ` (${count(tokens.reasoning)} thinking)` : "";
  const parts = `  ${count(tokens.input) ?? "?"} in${cached}, ${count(tokens.output) ?? "?"} out${thinking}`;
  return stat(span.tokens ? "Tokens" : "Tokens of all below", count(tokens.total), el("small", {}, parts));
}

function faultNodes(span) {
  const faults = span.events.filter((event) => event.name === "exception").map(({ attributes }) => {
    const stack = attributes["exception.stacktrace"];
    const fold = stack ? el("details", {}, el("summary", {}, "Stack trace"), el("pre", {}, plain(stack))) : null;
    return faultNode(attributes["exception.type"] ?? "Error", attributes["exception.message"] ?? "", fold);
  });
  if (!faults.length && span.failed && span.error) faults.push(faultNode("Error", span.error));
  return faults;
}

const faultNode = (type, message, more = null) =>
  el("div", { class: "fault" }, el("b", {}, plain(type)), el("p", {}, long(String(message), (text) => el("span", {}, plain(text)))), more);

/** A conversation where inputs and outputs are one; else the inputs, then the outputs. */
function contentSections(span) {
  const talk = conversation(span);
  if (talk) {
    const raw = { inputs: span.inputs, outputs: span.outputs };
    const rest = span.type === "CHAT_MODEL" ? null : [restBox(span.inputs), restBox(span.outputs)];
    const note = `${count(talk.all.length)} ${talk.all.length === 1 ? "message" : "messages"}`;
    return [section("Conversation", note, [thread(talk.all, talk.fresh), rest].flat().filter(Boolean), raw)];
  }
  const found = documents(span.outputs);
  const note = found ? `${found.length} found` : null;
  return [
    span.inputs == null ? null : section("Input", null, valueBox(span.inputs), span.inputs),
    span.outputs == null ? null : section(found ? "Documents" : "Output", note, valueBox(span.outputs), span.outputs),
  ];
}

function toolsSection(span) {
  if (!Array.isArray(span.tools) || !span.tools.length) return null;
  const tool = (one) => {
    const inner = isObject(one?.function) ? one.function : (one ?? {});
    const name = el("b", {}, plain(inner.name ?? "tool"));
    const about = el("span", { class: "size" }, "  ", plain(inner.description ?? ""));
    return el("details", {}, el("summary", {}, name, about), el("div", {}, jsonBox(inner.parameters ?? one)));
  };
  const box = el("div", { class: "card" }, el("div", { class: "json" }, span.tools.map(tool)));
  return section("Tools it may call", `${span.tools.length}`, box, span.tools);
}

function eventsSection(span) {
  const events = span.events.filter((event) => event.name !== "exception");
  if (!events.length) return null;
  return section("Events", `${events.length}`, el("div", { class: "card" }, jsonBox(events)), events);
}

function attributesSection(span) {
  const all = { "span id": span.id, ...span.attributes };
  return section("Attributes", null, el("div", { class: "card" }, jsonBox(all)), all);
}

function traceSection() {
  const { trace_id, session, user, tags, metadata, experiment_id } = view.trace;
  const facts = Object.entries({ trace_id, experiment_id, session, user, tags, metadata }).filter(
    ([, value]) => value != null && (!isObject(value) || Object.keys(value).length),
  );
  return section("Trace", null, el("div", { class: "card" }, jsonBox(Object.fromEntries(facts))), view.trace);
}
