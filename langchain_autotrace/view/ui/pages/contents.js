// Search in the contents of spans: slower than in previews, so what is found is shown as it comes, and it can be stopped.

const contentBox = el("section", { class: "contents", "aria-label": "In the contents of spans" });
let contentSearch = null;

/** Draw the offer to search in contents, as long as a text is searched for. */
function drawContents() {
  contentSearch?.abort();
  const text = params().get("text");
  if (!text) return contentBox.replaceChildren();
  const button = el("button", { class: "plain-button", onclick: () => searchContents() }, icon("search"), "Search inside all spans, too");
  contentBox.replaceChildren(button);
}

async function searchContents() {
  const stop = (contentSearch = new AbortController());
  const body = el("tbody");
  const state = el("span", { role: "status" }, "Searching …");
  const button = el("button", { class: "plain-button", onclick: () => stop.abort() }, "Stop");
  contentBox.replaceChildren(el("div", { class: "heading" }, el("h2", {}, "Inside spans"), state, button), el("table", { class: "traces" }, el("caption", { class: "unseen" }, "Traces with the text in a span"), el("thead", {}, plainHead()), body));
  let found = 0;
  const add = ({ traces, error }) => {
    if (error) throw new Error(error);
    found += traces.length;
    body.append(...traces.map((one) => traceRow(one, drawChosen)));
    state.textContent = `${plural(found, "trace")} so far …`;
  };
  try {
    await readLines("/api/contents" + location.search, stop.signal, add);
    state.textContent = plural(found, "trace");
  } catch (error) {
    state.textContent = stop.signal.aborted ? `Stopped: ${plural(found, "trace")} found` : error.message;
  }
  button.remove();
}

/** Read lines of JSON as they come. */
async function readLines(address, signal, take) {
  const response = await fetch(address, { signal });
  if (!response.ok) throw new Error((await response.json()).error);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) take(JSON.parse(line));
  }
}
