// What the server's trace page has beside the page itself: links to the list and the session, compare, and delete.

PATHS.trash = "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5";
PATHS.compare = "M8 4v16M16 4v16M3 8h5M16 8h5M3 14h5M16 14h5";

extras.links = () => [el("a", { class: "icon-button", href: "/", title: "All traces", "aria-label": "All traces" }, icon("back"))];
extras.sessionLink = (session) => (session ? "/session?" + new URLSearchParams({ session }) : null);
extras.actions = (trace) => [
  el("a", { class: "icon-button", href: "/compare?" + new URLSearchParams({ a: trace.trace_id }), title: "Compare with another trace", "aria-label": "Compare with another trace" }, icon("compare")),
  view.live ? null : iconButton("trash", "Delete", "Delete this trace", deleteTrace),
].filter(Boolean);

async function deleteTrace() {
  if ((await askToDelete([view.trace.trace_id])) !== null) location.assign("/");
}
