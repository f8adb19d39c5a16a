// One session as a conversation: what was asked and answered in each of its traces, the oldest first.

const TURNS = 50;
const turns = el("ol", { class: "turns" });
/** Id -> {row, box} of each turn that is shown: those that have not changed stay as they are. */
const shownTurns = new Map();

async function drawSession() {
  const session = params().get("session") ?? "";
  drawFrame(session);
  if (!content.contains(results)) show(el("a", { class: "up", href: "/sessions" }, icon("back"), "Sessions"), heading(plain(session), el("a", { class: "plain-button", href: href("/", { session }) }, "As a list")), results);
  turns.replaceChildren();
  shownTurns.clear();
  await loadSession();
}

async function loadSession() {
  const session = params().get("session") ?? "";
  const offset = Number(params().get("offset") ?? 0);
  const data = await latest(href("/api/traces", { session, sort: "time", order: "asc", limit: TURNS, offset }), ["version"]);
  if (!data) return;
  const { traces } = data;
  const fresh = traces.filter((one) => shownTurns.get(one.id)?.row !== JSON.stringify(one));
  for (const one of fresh) shownTurns.set(one.id, { row: JSON.stringify(one), box: turnBox(one) });
  fill(sessionFigures(traces, data), traces.length ? turns : nothing("This session has no traces."), pager(data, traces.length));
  keepingPlace(turns, () => turns.replaceChildren(...traces.map((one) => shownTurns.get(one.id).box)));
  await fillTurns(fresh);
}

function sessionFigures(traces, { total, capped }) {
  const failed = traces.filter((one) => one.status === "ERROR").length;
  const users = [...new Set(traces.map((one) => one.user).filter(Boolean))];
  return el(
    "dl",
    { class: "figures session-figures" },
    figure("Turns", count(capped ? traces.length : total)),
    traces.length ? figure("Started", moment(traces[0].start_ms)) : null,
    figure("Tokens", known(sumOf(traces.map((one) => one.tokens.total)), count)),
    figure("Cost", known(sumOf(traces.map((one) => one.cost)), money)),
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
  const body = el("div", {}, el("div", { class: "role" }, name), prose(text));
  return el("div", { class: "message " + who }, el("div", { class: "avatar" }, icon(who)), body);
}

const isCut = (text) => text.endsWith("…") || text.length >= 999 || /^\s*[[{]/.test(text);

/** Previews are short: read the whole of those that are cut, and the errors. */
async function fillTurns(traces) {
  for (const one of traces) {
    if (!isCut(one.request) && !isCut(one.response) && one.status !== "ERROR") continue;
    if (!document.contains(turns)) return;
    const whole = await read("/api/turn/" + encodeURIComponent(one.id)).catch(() => null);
    const box = turns.querySelector(`[data-id="${CSS.escape(one.id)}"]`);
    if (!whole || !box) continue;
    const filled = turnBox({ ...one, request: whole.request || one.request, response: whole.response || one.response });
    if (whole.error) filled.append(el("div", { class: "fault" }, el("p", {}, plain(whole.error))));
    shownTurns.get(one.id).box = filled;
    box.replaceWith(filled);
  }
}
