// A trace that is running, or waits for the store: its spans appear as they are written.

const REDRAW = 200; // milliseconds between two drawings of bars that grow

/** Put the spans that have changed into the trace that is shown; what is chosen, open and zoomed stays. */
function renew(data, seen) {
  const { selected, open, window: zoom, keySteps, byId, end } = view;
  const wasWhole = zoom.from === 0 && zoom.to === end;
  const changed = new Set(data.spans.map((span) => span.id));
  const kept = view.spans.filter((span) => !changed.has(span.id)).map(({ children, isRoot, failed, ...span }) => span);
  const closed = new Set(view.spans.filter((span) => span.children.length && !open.has(span)).map((span) => span.id));
  openView({ ...data, spans: [...kept, ...data.spans] });
  Object.assign(view, { live: data.live, keySteps: view.spans.some((span) => span.plumbing) && (keySteps || !byId.size) });
  for (const span of view.spans) if (closed.has(span.id)) view.open.delete(span);
  if (data.live) view.end = Math.max(view.end, data.live.now_us);
  view.window = wasWhole ? { from: 0, to: view.end } : zoom;
  view.selected = view.byId.get(selected?.id) ?? view.roots[0] ?? null;
  segment.hidden = !view.spans.some((span) => span.plumbing);
  if (needle) view.found = new Set(view.spans.filter((span) => textOf(span).includes(needle)));
  drawTop();
  refresh();
  const isOther = view.selected && (changed.has(view.selected.id) || seen.has(view.selected.id));
  if (isOther) redrawDetail();
}

/** Draw the chosen span's details anew, where they were scrolled to. */
function redrawDetail() {
  const at = right.scrollTop;
  drawDetail(view.selected);
  right.scrollTop = at;
}

async function followTrace() {
  let { live } = view;
  let received = performance.now();
  let seen = 0;
  const timer = setInterval(() => {
    if (!view.live?.running || document.hidden) return;
    const now = live.now_us + (performance.now() - received) * 1000;
    const isWhole = view.window.from === 0 && view.window.to === view.end;
    view.end = Math.max(view.end, now);
    if (isWhole) view.window = { from: 0, to: view.end };
    drawAxis();
    drawRows();
  }, REDRAW);
  const address = "/api/trace/" + encodeURIComponent(view.trace.trace_id);
  while (view.live) {
    await whenSeen();
    try {
      const data = await read(`${address}?${new URLSearchParams({ since: live.version, seen, wait: 5 })}`);
      seen = data.seen;
      if (!data.live) view.spans = []; // the store has it: all of it comes anew
      if (!data.live || data.spans.length || data.live.running !== live.running) renew(data, new Set(data.spans.map((span) => span.id)));
      live = data.live ?? live;
      received = performance.now();
      traceTexts[0].textContent = data.live ? traceTexts[0].textContent : JSON.stringify(data);
    } catch {
      await pause(1000);
    }
  }
  clearInterval(timer);
}

addEventListener("load", () => {
  const { live } = JSON.parse(traceTexts[0].textContent);
  if (!live) return;
  view.live = live;
  if (live.running) view.end = Math.max(view.end, live.now_us);
  view.window = { from: 0, to: view.end };
  drawTop();
  refresh();
  followTrace();
});
