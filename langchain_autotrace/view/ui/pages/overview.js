// The overview: traces, errors, latency, tokens and cost over time, and by name and model.

let overviewCharts = [];

async function drawOverview() {
  drawFrame("Overview");
  if (!content.contains(filterBox)) show(filterBox);
  drawFilters();
  const data = await read("/api/overview" + location.search);
  forgetCharts();
  overviewCharts = data.buckets.length ? chartsOf(data) : [];
  show(
    filterBox,
    data.capped ? el("p", { class: "note" }, "Counted over the newest traces only: this store cannot be asked for more at once.") : null,
    data.buckets.length ? [figuresOf(data), el("div", { class: "charts" }, overviewCharts.map((one) => one.box)), groupsBox(data), periodsTable(data)] : nothing("No trace meets these filters."),
  );
  for (const one of overviewCharts) one.draw();
}

/** The periods with those that have no trace, so that the axis shows gaps as gaps. */
function filled({ buckets, bucket_ms }) {
  const byStart = new Map(buckets.map((one) => [one.start_ms, one]));
  const found = [];
  const last = buckets.at(-1).start_ms;
  for (let at = buckets[0].start_ms; at <= last && found.length < 1000; at += bucket_ms) {
    found.push(byStart.get(at) ?? { start_ms: at, traces: 0, errors: 0, p50_ms: null, p95_ms: null, p99_ms: null, input_tokens: 0, output_tokens: 0, cost_usd: 0 });
  }
  return found;
}

const drillTo = (start, length, more = {}) =>
  location.assign(href("/", { ...filterValues(), since: String(start), until: String(start + length), ...more }));

function chartsOf(data) {
  const periods = filled(data);
  const length = data.bucket_ms;
  const values = (key) => periods.map((one) => one[key]);
  const make = (title, format, series, isWhole = false) =>
    chart({ title, isWhole, periods: values("start_ms"), format, series, length, drill: (start) => drillTo(start, length) });
  const sum = (a, b) => periods.map((one) => one[a] + one[b]);
  return [
    make("Traces", short, [
      { name: "all", label: "All", tint: "--accent", bars: true, values: values("traces") },
      { name: "failures", label: "Errors", tint: "--error", bars: true, values: values("errors") },
    ], true),
    make("Latency", (n) => (n ? time(n * 1000).replace(/\.0+(?= )/, "") : "0"), [
      { name: "p50", label: "p50", tint: "--retriever", values: values("p50_ms") },
      { name: "p95", label: "p95", tint: "--tool", values: values("p95_ms") },
      { name: "p99", label: "p99", tint: "--agent", values: values("p99_ms") },
    ]),
    make("Tokens", short, [
      { name: "output", label: "Output", tint: "--agent", bars: true, values: sum("input_tokens", "output_tokens"), shown: values("output_tokens") },
      { name: "input", label: "Input", tint: "--model", bars: true, values: values("input_tokens") },
    ], true),
    make("Cost", (n) => (n ? money(n) : "$0"), [{ name: "cost", label: "US$", tint: "--retriever", bars: true, values: values("cost_usd") }]),
  ];
}

function figuresOf({ buckets }) {
  const sum = (key) => buckets.reduce((all, one) => all + one[key], 0);
  const [traces, errors] = [sum("traces"), sum("errors")];
  const tokens = sum("input_tokens") + sum("output_tokens");
  return el(
    "dl",
    { class: "figures" },
    figure("Traces", count(traces)),
    figure("Error rate", percent(errors, traces), ` ${plural(errors, "error")}`, errors ? "bad" : ""),
    figure("Tokens", short(tokens), ` ${short(sum("input_tokens"))} in, ${short(sum("output_tokens"))} out`),
    figure("Cost", money(sum("cost_usd")), traces ? ` ${money(sum("cost_usd") / traces)} a trace` : null),
  );
}

const groupsBox = ({ names, models }) =>
  el("div", { class: "groups" }, groupTable("By name", "Traces", names, "name"), models.length ? groupTable("By model", "Calls", models, "model") : null);

function groupTable(title, counted, groups, filter) {
  const most = Math.max(...groups.map((one) => one.count), 1);
  const head = [filter === "name" ? "Name" : "Model", counted, "Errors", "p50", "p95", "Tokens", "Cost"];
  const row = (one) => {
    const bar = el("span", { class: "share" });
    bar.style.width = (one.count / most) * 100 + "%";
    const address = href("/", { ...filterValues(), [filter]: one.name });
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, el("a", { href: address }, plain(one.name)), bar),
      el("td", {}, count(one.count)),
      el("td", { class: one.errors ? "bad" : "" }, one.errors ? el("a", { href: href("/", { ...filterValues(), [filter]: one.name, status: "ERROR" }) }, count(one.errors)) : "0"),
      el("td", {}, ms(one.p50_ms) ?? "–"),
      el("td", {}, ms(one.p95_ms) ?? "–"),
      el("td", {}, short(one.total_tokens)),
      el("td", {}, money(one.cost_usd)),
    );
  };
  return el(
    "section",
    { class: "group", "aria-label": title },
    el("h2", {}, title),
    el("div", { class: "wide", tabIndex: 0, role: "region", "aria-label": title + ", table" }, el("table", {}, el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, groups.map(row)))),
  );
}

/** The charts as a table, for who does not see or point at them; each period leads to its traces. */
function periodsTable({ buckets, bucket_ms }) {
  const head = ["Period", "Traces", "Errors", "p50", "p95", "p99", "Tokens in", "Tokens out", "Cost"];
  const row = (one) => {
    const address = href("/", { ...filterValues(), since: String(one.start_ms), until: String(one.start_ms + bucket_ms) });
    const cells = [count(one.traces), count(one.errors), ms(one.p50_ms), ms(one.p95_ms), ms(one.p99_ms), count(one.input_tokens), count(one.output_tokens), money(one.cost_usd)];
    return el("tr", {}, el("th", { scope: "row" }, el("a", { href: address }, periodName(one.start_ms, bucket_ms))), cells.map((cell) => el("td", {}, cell ?? "–")));
  };
  const table = el("table", {}, el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, buckets.map(row)));
  return el("details", { class: "group periods" }, el("summary", {}, "Periods as a table"), el("div", { class: "wide", tabIndex: 0, role: "region", "aria-label": "Periods" }, table));
}

function redrawCharts() {
  if (!overviewCharts.length || !document.querySelector(".charts")) return;
  forgetCharts();
  for (const one of overviewCharts) one.draw();
}

let resizing = 0;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(redrawCharts, 100);
});
new MutationObserver(redrawCharts).observe(document.documentElement, { attributeFilter: ["data-theme"] });
