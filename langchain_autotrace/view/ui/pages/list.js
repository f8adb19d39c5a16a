// The list of traces: what the filters of the address find, kept up to date.

let listed = null;
let listTurn = 0;

const listBox = el("div", { class: "list-box" }, reading());
const chosenBar = el("div", { class: "chosen-bar", hidden: true });

async function drawList() {
  drawFrame("Traces");
  if (!content.contains(listBox)) show(filterBox, chosenBar, listBox, contentBox);
  drawFilters();
  needle = (params().get("text") ?? "").trim().toLowerCase();
  await loadList();
  drawContents();
}

/** Read and draw the list. A later call overtakes an earlier one. */
async function loadList() {
  const turn = ++listTurn;
  const data = await read("/api/traces" + location.search);
  if (turn !== listTurn) return;
  listed = data;
  drawRows();
}

function drawRows() {
  const focused = document.activeElement?.closest("tr.trace")?.dataset.id;
  const { traces } = listed;
  const table = el(
    "table",
    { class: "traces" },
    el("caption", { class: "unseen" }, "Traces"),
    el("thead", {}, headRow(traces, drawRows)),
    el("tbody", {}, traces.map((one) => traceRow(one, drawRows))),
  );
  const pages = pager(listed, traces.length);
  keepingFocus(listBox, () => listBox.replaceChildren(...(traces.length ? [table, pages] : [emptyList(), ...(pages ? [pages] : [])])));
  const seen = new Set([...content.querySelectorAll("tr.trace")].map((row) => row.dataset.id));
  for (const id of [...chosen]) if (!seen.has(id)) chosen.delete(id);
  if (focused) listBox.querySelector(`tr[data-id="${CSS.escape(focused)}"] a`)?.focus();
  drawChosen();
}

function emptyList() {
  const isFiltered = Object.keys(filterValues()).length > 0;
  if (isFiltered) return nothing("No trace meets these filters.", el("a", { href: "/" }, "Show all traces"));
  return nothing("No traces yet.", el("p", {}, "Call ", el("code", {}, "langchain_autotrace.autolog()"), " in your program and run it: its traces appear here by themselves."));
}

function drawChosen() {
  chosenBar.hidden = chosen.size === 0;
  if (!chosen.size) return;
  const ids = [...chosen];
  const remove = async () => {
    const deleted = await askToDelete(ids);
    if (deleted === null) return;
    chosen.clear();
    toast(`Deleted ${plural(deleted, "trace")}`);
    await guarded(loadList);
  };
  chosenBar.replaceChildren(
    el("span", {}, `${count(ids.length)} chosen`),
    ...(ids.length === 2 ? [el("a", { class: "plain-button", href: href("/compare", { a: ids[1], b: ids[0] }) }, icon("compare"), "Compare")] : []),
    el("button", { class: "plain-button danger-text", onclick: remove }, icon("trash"), "Delete"),
    el("button", { class: "quiet-button", onclick: () => (chosen.clear(), drawRows()) }, "Choose none"),
  );
}

/** Whether new traces belong on the page that is seen: on others they would shift its lines away. */
const isFirstPage = () => !params().get("offset") && !chosen.size;

/** Durations of running traces grow by themselves. */
setInterval(() => {
  for (const cell of document.querySelectorAll("td[data-start]")) {
    cell.textContent = time(Math.max(0, Date.now() - Number(cell.dataset.start)) * 1000);
  }
}, 500);

// The keyboard: / to the search, arrows between the lines.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.closest("input:not([type=checkbox]), select, textarea");
  if (event.key === "/" && !isTyping && content.contains(textInput)) {
    event.preventDefault();
    textInput.focus();
    textInput.select();
  }
  if ((event.key !== "ArrowDown" && event.key !== "ArrowUp") || !content.contains(listBox)) return;
  if (isTyping && event.target !== textInput) return;
  const links = [...listBox.querySelectorAll("td.title .name a")];
  const at = links.indexOf(document.activeElement);
  const next = links[event.key === "ArrowDown" ? at + 1 : Math.max(0, at - 1)];
  if (!next) return;
  event.preventDefault();
  next.focus();
});
