// Charts over time, drawn by uPlot. A click on a period leads to its traces.

const CHART_HEIGHT = 168;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/** Distances between ticks where the numbers are whole. */
const WHOLE = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((n) => n * 10 ** power)).flat();
let plots = [];

/**
 * A chart of one thing over time.
 * `series` are {label, name, tint, values, bars, shown}; `values` are numbers by period, null where there is none.
 */
function chart({ title, periods, series, format, length, isWhole, drill }) {
  const holder = el("div", { class: "plot", role: "img", "aria-label": `${title}, by period` });
  const box = el("section", { class: "chart", "aria-label": title }, el("header", {}, el("h2", {}, title), legend(series)), holder);
  const draw = () => {
    holder.replaceChildren();
    const plot = new uPlot(options({ holder, series, format, length, isWhole }), [periods.map((ms_) => ms_ / 1000), ...series.map((one) => one.values)], holder);
    plots.push(plot);
    plot.over.addEventListener("click", () => plot.cursor.idx != null && drill(periods[plot.cursor.idx]));
  };
  return { title, box, draw };
}

/** Names of the ticks, each once: the time of day, and the day where it begins. */
function tickNames(ticks, distance, length) {
  const names = ticks.map((seconds) => tickName(new Date(seconds * 1000), distance, length));
  return names.map((name, at) => (name === names[at - 1] ? null : name));
}

function tickName(date, distance, length) {
  const isDay = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
  if (isDay || length >= 86_400_000) return date.toLocaleDateString("en", { month: "short", day: "numeric" });
  const seconds = distance < 60 ? { second: "2-digit" } : {};
  return date.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hour12: false, ...seconds });
}

const legend = (series) =>
  el("div", { class: "legend" }, series.map((one) => el("span", { class: "key " + one.name }, el("i"), one.label)));

function options({ holder, series, format, length, isWhole }) {
  const line = color("--line");
  const text = color("--faint");
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px " + color("--sans") };
  return {
    width: holder.clientWidth || 400,
    height: CHART_HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true, range: ({ data: [starts] }) => [starts[0] - length / 2000, starts.at(-1) + length / 2000] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.12 : 1] } },
    axes: [{ ...axis, grid: { show: false }, space: 84, size: 26, values: (_, ticks, __, ___, distance) => tickNames(ticks, distance, length) }, { ...axis, size: 58, space: 34, ...(isWhole ? { incrs: WHOLE } : {}), values: (_, ticks) => ticks.map((n) => format(n)) }],
    series: [{}, ...series.map((one) => seriesOptions(one))],
    plugins: [tooltip(series, format, length)],
  };
}

function seriesOptions({ label, tint, bars }) {
  const stroke = color(tint);
  if (bars) return { label, stroke, fill: stroke, width: 0, paths: uPlot.paths.bars({ size: [0.72, 40], radius: 0.15 }), points: { show: false } };
  return { label, stroke, width: 2, points: { size: 4, fill: stroke }, spanGaps: true };
}

/** The numbers of the period under the pointer. */
function tooltip(series, format, length) {
  const box = el("div", { class: "tip", hidden: true });
  const move = (plot) => {
    const { idx, left } = plot.cursor;
    box.hidden = idx == null || left < 0;
    if (box.hidden) return;
    const lines = series.map((one) => el("div", { class: "key " + one.name }, el("i"), one.label, el("b", {}, one.values[idx] == null ? "–" : format(one.shown?.[idx] ?? one.values[idx]))));
    box.replaceChildren(el("div", { class: "when" }, periodName(plot.data[0][idx] * 1000, length)), ...lines);
    const x = plot.valToPos(plot.data[0][idx], "x");
    box.style.left = Math.min(Math.max(0, x + 12), Math.max(0, plot.over.clientWidth - box.offsetWidth)) + "px";
  };
  return { hooks: { init: [(plot) => plot.over.append(box)], setCursor: [move] } };
}

function periodName(start, length) {
  const date = new Date(start);
  const day = date.toLocaleDateString("en", { month: "short", day: "numeric" });
  if (length >= 86_400_000) return length > 86_400_000 ? `${plural(Math.round(length / 86_400_000), "day")} from ${day}` : day;
  const clock = { hour: "2-digit", minute: "2-digit", hour12: false, ...(length < 60_000 ? { second: "2-digit" } : {}) };
  return `${day}, ${date.toLocaleTimeString("en", clock)}`;
}

function forgetCharts() {
  for (const plot of plots) plot.destroy();
  plots = [];
}
