// The time axis: which part of the trace's time is shown, as ticks over the bars.

const axisTimes = el("div", { class: "times" });
const axisNames = el("div", { class: "names" });
const wholeButton = el("button", { class: "quiet-button whole", hidden: true, title: "Show the whole time (0)", onclick: () => zoomTo(0, view.end) }, "Whole trace");
const axis = el("div", { class: "axis" }, axisNames, axisTimes, wholeButton);
const ZOOM = 1.6;
const MIN_DRAG = 6; // pixels
const MAX_ZOOM = 1e6;

/** The place of a moment between the left and right end of the axis, in percent; can be outside. */
const placeOf = (us) => ((us - view.window.from) / (view.window.to - view.window.from)) * 100;

function drawAxis() {
  const { from, to } = view.window;
  const raw = (to - from) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw) ?? raw;
  axisTimes.replaceChildren();
  for (let n = Math.ceil(from / step); n * step < from + (to - from) * 0.94; n++) {
    const label = n ? time(n * step).replace(/\.0+(?= )/, "") : "0";
    const tick = el("span", { class: "tick" }, label);
    tick.style.left = placeOf(n * step) + "%";
    axisTimes.append(tick);
  }
  const shown = view.rows.length;
  const hidden = view.spans.length - shown;
  axisNames.textContent = `${count(view.spans.length)} ${view.spans.length === 1 ? "span" : "spans"}` + (hidden ? `, ${count(shown)} shown` : "");
  wholeButton.hidden = from === 0 && to === view.end;
}

function zoomTo(from, to) {
  const width = Math.min(view.end, Math.max(to - from, view.end / MAX_ZOOM));
  const start = Math.min(Math.max(0, from), view.end - width);
  view.window = { from: start, to: start + width };
  drawAxis();
  drawRows();
}

/** Zoom around a moment, by default the middle of the chosen span. */
function zoomBy(factor, around = middleOf(view.selected)) {
  const { from, to } = view.window;
  zoomTo(around - (around - from) / factor, around + (to - around) / factor);
}

function middleOf(span) {
  const { from, to } = view.window;
  const middle = span ? span.start_us + (span.duration_us ?? 0) / 2 : (from + to) / 2;
  return Math.min(to, Math.max(from, middle));
}

/** Zoom to a span, with some time around it. */
function zoomToSpan(span) {
  const length = span.duration_us ?? view.end - span.start_us;
  const margin = (length || view.end / 1000) * 0.05;
  zoomTo(span.start_us - margin, span.start_us + length + margin);
}

const momentAt = (x) => {
  const box = axisTimes.getBoundingClientRect();
  return view.window.from + ((x - box.left) / box.width) * (view.window.to - view.window.from);
};

// A part of the axis that is dragged over becomes the whole of it; a double click shows all again.
axisTimes.addEventListener("pointerdown", (down) => {
  const box = axisTimes.getBoundingClientRect();
  const mark = el("div", { class: "drag" });
  axisTimes.append(mark);
  axisTimes.setPointerCapture(down.pointerId);
  axisTimes.onpointermove = (move) => {
    mark.style.left = Math.min(down.clientX, move.clientX) - box.left + "px";
    mark.style.width = Math.abs(move.clientX - down.clientX) + "px";
  };
  axisTimes.onpointerup = (up) => {
    axisTimes.onpointermove = axisTimes.onpointerup = null;
    mark.remove();
    const ends = [momentAt(down.clientX), momentAt(up.clientX)].sort((a, b) => a - b);
    if (Math.abs(up.clientX - down.clientX) >= MIN_DRAG) zoomTo(...ends);
  };
});
axisTimes.addEventListener("dblclick", () => zoomTo(0, view.end));
