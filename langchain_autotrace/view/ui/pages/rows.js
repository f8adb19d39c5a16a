// The lines of the list of traces.

const COLUMNS = [
  ["name", "Name", ""], [null, "Question and answer", "preview"], ["time", "Started", "number"],
  ["duration", "Duration", "number"], ["tokens", "Tokens", "number"], ["cost", "Cost", "number"],
];
const chosen = new Set();

function headRow(traces, redraw) {
  const [sort, order] = [params().get("sort") ?? "time", params().get("order") ?? "desc"];
  const cells = COLUMNS.map(([key, label, kind]) => {
    if (!key) return el("th", { scope: "col", class: kind }, label);
    const isSorted = sort === key;
    const turned = isSorted && order === "desc" ? "asc" : "desc";
    const change = () => go({ sort: key === "time" ? null : key, order: turned === "desc" ? null : turned });
    const arrow = isSorted ? el("span", { class: "arrow", "aria-hidden": "true" }, order === "desc" ? "↓" : "↑") : null;
    const state = isSorted ? (order === "desc" ? "descending" : "ascending") : null;
    return el("th", { scope: "col", class: kind, "aria-sort": state }, el("button", { name: key, onclick: change }, label, arrow));
  });
  const stored = traces.filter((one) => one.stored);
  const all = el("input", {
    type: "checkbox", "aria-label": "Choose all on this page", checked: stored.length > 0 && stored.every((one) => chosen.has(one.id)),
    onchange: (event) => {
      for (const one of stored) chosen[event.target.checked ? "add" : "delete"](one.id);
      redraw();
    },
  });
  return el("tr", {}, el("th", { scope: "col", class: "check" }, all), cells);
}

/** The heads of a list that cannot be sorted: it is still growing. */
const plainHead = () =>
  el("tr", {}, el("td", { class: "check" }), COLUMNS.map(([, label, kind]) => el("th", { scope: "col", class: kind }, label)));

function traceRow(one, redraw) {
  const choose = el("input", {
    type: "checkbox", "aria-label": visible(`Choose ${one.name}`), checked: chosen.has(one.id), disabled: !one.stored,
    onchange: (event) => {
      chosen[event.target.checked ? "add" : "delete"](one.id);
      redraw();
    },
  });
  const open = (event) => {
    if (!event.target.closest("a, input, button") && !getSelection().toString()) location.assign(traceLink(one.id));
  };
  return el(
    "tr",
    { class: "trace " + (Object.hasOwn(STATES, one.status) ? one.status : "UNSET"), onclick: open, "data-id": one.id },
    el("td", { class: "check" }, choose),
    el("td", { class: "title" }, el("div", { class: "name" }, statusDot(one.status), el("a", { href: traceLink(one.id) }, plain(one.name))), chips(one)),
    el("td", { class: "preview" }, previews(one)),
    el("td", { class: "number started" }, moment(one.start_ms)),
    el("td", { class: "number duration", "data-start": one.status === "IN_PROGRESS" ? one.start_ms : null }, runningFor(one)),
    el("td", { class: "number tokens", title: tokensTitle(one.tokens) }, count(one.tokens.total) ?? "–"),
    el("td", { class: "number cost" }, money(one.cost) ?? "–"),
  );
}

const statusDot = (status) => el("span", { class: "dot " + (Object.hasOwn(STATES, status) ? status : "UNSET"), role: "img", title: stateName(status), "aria-label": stateName(status) });
const runningFor = (one) => (one.status === "IN_PROGRESS" ? time(Math.max(0, Date.now() - one.start_ms) * 1000) : (ms(one.duration_ms) ?? "–"));
const tokensTitle = ({ input, output }) => (input == null && output == null ? null : `${count(input) ?? "?"} in, ${count(output) ?? "?"} out`);

function chips(one) {
  const found = [
    one.session ? chipLink(sessionLink(one.session), one.session, `Session ${one.session}`, "session") : null,
    one.user ? chipLink(href("/", { user: one.user }), one.user, `Traces of the user ${one.user}`, "user") : null,
    ...Object.entries(one.tags).slice(0, 3).map(([key, value]) => chipLink(href("/", { tag: `${key}=${value}` }), `${key}: ${value}`, `Traces with the tag ${key} = ${value}`)),
  ];
  return found.some(Boolean) ? el("div", { class: "chips" }, found) : null;
}

/** Question and answer, a line or two each; what is searched for is marked. */
function previews(one) {
  const line = (name, text) => el("div", { class: "said " + name }, plain(cutAround(text)));
  if (!one.request && !one.response) return el("span", { class: "none" }, one.status === "IN_PROGRESS" ? "…" : "–");
  return [one.request ? line("asked", one.request) : null, one.response ? line("answered", one.response) : null];
}

const MAX_SHOWN = 300;

/** A preview, from shortly before what is searched for. */
function cutAround(text) {
  const at = needle ? text.toLowerCase().indexOf(needle) : -1;
  const from = at > 60 ? at - 40 : 0;
  return (from ? "…" : "") + text.slice(from, from + MAX_SHOWN).replace(/\s+/g, " ");
}
