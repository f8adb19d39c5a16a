// One session as a conversation: what was asked and answered in each of its traces, the oldest first.

const TURNS = 50;

async function drawSession() {
  const session = params().get("session") ?? "";
  drawFrame(session);
  const offset = Number(params().get("offset") ?? 0);
  const data = await read(href("/api/traces", { session, sort: "time", order: "asc", limit: TURNS, offset }));
  const { traces } = data;
  const turns = el("ol", { class: "turns" }, traces.map((one) => turnBox(one)));
  show(
    el("a", { class: "up", href: "/sessions" }, icon("back"), "Sessions"),
    heading(plain(session), el("a", { class: "plain-button", href: href("/", { session }) }, "As a list")),
    sessionFigures(traces, data),
    traces.length ? turns : nothing("This session has no traces."),
    pager(data, traces.length),
  );
  await fillTurns(traces, turns);
}

function sessionFigures(traces, { total, capped }) {
  const sum = (value) => traces.reduce((all, one) => all + (value(one) ?? 0), 0);
  const failed = traces.filter((one) => one.status === "ERROR").length;
  const users = [...new Set(traces.map((one) => one.user).filter(Boolean))];
  return el(
    "dl",
    { class: "figures session-figures" },
    figure("Turns", count(capped ? traces.length : total)),
    traces.length ? figure("Started", moment(traces[0].start_ms)) : null,
    figure("Tokens", count(sum((one) => one.tokens.total))),
    figure("Cost", money(sum((one) => one.cost))),
    failed ? figure("Errors", count(failed), null, "bad") : null,
    users.length ? figure("User", plain(users.join(", "))) : null,
  );
}

function turnBox(one) {
  const facts = [moment(one.start_ms), ms(one.duration_ms), one.tokens.total == null ? null : `${count(one.tokens.total)} tokens`, money(one.cost)];
  const parts = facts.filter(Boolean).flatMap((fact, at) => (at ? [" · ", fact] : [fact]));
  return el(
    "li",
    { class: "turn", id: "turn-" + one.id, "data-id": one.id },
    el("div", { class: "turn-head" }, el("a", { href: traceLink(one.id) }, plain(one.name)), one.status === "OK" ? null : pill(one.status), el("span", { class: "grow" }), el("span", { class: "note" }, parts)),
    saidBox("user", "User", one.request),
    saidBox("assistant", "Assistant", one.response),
  );
}

function saidBox(who, name, text) {
  if (!text) return null;
  const body = el("div", {}, el("div", { class: "role" }, name), long(text, prose));
  return el("div", { class: "message " + who }, el("div", { class: "avatar" }, icon(who)), body);
}

const isCut = (text) => text.endsWith("…") || text.length >= 999 || /^\s*[[{]/.test(text);

/** Previews are short: read the whole of those that are cut, and the errors. */
async function fillTurns(traces, turns) {
  for (const one of traces) {
    if (!isCut(one.request) && !isCut(one.response) && one.status !== "ERROR") continue;
    if (!document.contains(turns)) return;
    const whole = await read("/api/turn/" + encodeURIComponent(one.id)).catch(() => null);
    const box = turns.querySelector(`[data-id="${CSS.escape(one.id)}"]`);
    if (!whole || !box) continue;
    box.replaceWith(turnBox({ ...one, request: whole.request || one.request, response: whole.response || one.response }));
    if (whole.error) turns.querySelector(`[data-id="${CSS.escape(one.id)}"]`).append(el("div", { class: "fault" }, el("p", {}, plain(whole.error))));
  }
}
