// The overview: traces, errors, latency, tokens and cost over time, and by name and model.

let overviewCharts = [];
/** Sums by model come by themselves: over many traces they take longer than the rest. */
const byModel = el("div", { class: "by-model" });

async function drawOverview() {
  drawFrame("Overview");
  if (!content.contains(results)) show(filterBox, results);
  drawFilters();
  byModel.replaceChildren(el("section", { class: "group", "aria-label": "By model" }, el("h2", {}, "By model"), el("p", { class: "note" }, "Being added up…")));
  await loadOverview();
}

async function loadOverview() {
  const data = await latest("/api/overview" + location.search);
  if (data) drawSums(data);
  const sums = await latest("/api/overview/models" + location.search);
  if (sums) keepingPlace(byModel, () => byModel.replaceChildren(...modelSums(sums)));
}

function drawSums(data) {
  const charts = data.buckets.length ? chartsOf(data) : [];
  const boxes = [figuresOf(data), el("div", { class: "charts" }, charts.map((one) => one.box)), groupsBox(data), periodsTable(data)];
  forgetCharts();
  overviewCharts = charts;
  fill(newestOnly(data.newest), data.buckets.length ? boxes : nothing("No trace meets these filters."));
  for (const one of charts) one.draw();
}

const modelSums = ({ models, newest }) => (models.length ? [groupTable("By model", "Calls", models, "model"), newestOnly(newest)].filter(Boolean) : []);

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
  const sum = (a, b) => periods.map((one) => sumOf([one[a], one[b]]));
  const all = [
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
  const isKnown = { Tokens: data.buckets.some((one) => sumOf([one.input_tokens, one.output_tokens]) != null), Cost: data.buckets.some((one) => one.cost_usd != null) };
  return all.filter(({ title }) => isKnown[title] ?? true);
}

function figuresOf({ buckets }) {
  const sum = (key) => sumOf(buckets.map((one) => one[key]));
  const [traces, errors, cost, given, made] = ["traces", "errors", "cost_usd", "input_tokens", "output_tokens"].map(sum);
  const tokens = sumOf([given, made]);
  return el(
    "dl",
    { class: "figures" },
    figure("Traces", count(traces)),
    figure("Error rate", percent(errors, traces), ` ${plural(errors, "error")}`, errors ? "bad" : ""),
    figure("Tokens", known(tokens, short), tokens == null ? null : ` ${known(given, short)} in, ${known(made, short)} out`),
    figure("Cost", known(cost, money), cost == null ? null : ` ${money(cost / traces)} a trace`),
  );
}

const groupsBox = ({ names }) => el("div", { class: "groups" }, groupTable("By name", "Traces", names, "name"), byModel);

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
      el("td", {}, known(one.total_tokens, short)),
      el("td", {}, known(one.cost_usd, money)),
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
