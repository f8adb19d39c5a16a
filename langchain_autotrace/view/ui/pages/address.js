// The address holds all state: which view, its filters, sort and page. A link leads to what is seen.

/** The parameters of the present address. */
const params = () => new URLSearchParams(location.search);

/** An address of a path with parameters; empty ones are left out. */
function href(path, values = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const one of [value].flat()) if (one != null && one !== "") query.append(key, one);
  }
  const text = query.toString();
  return path + (text ? "?" + text : "");
}

/** The parameters with some changed; null removes one. A change of filters leads to the first page. */
function changed(changes) {
  const found = {};
  for (const key of new Set(params().keys())) found[key] = params().getAll(key);
  return { ...found, ...("offset" in changes ? {} : { offset: null }), ...changes };
}

/** Change the address, and draw what it says. */
function go(changes) {
  history.pushState(null, "", href(location.pathname, changed(changes)));
  dispatchEvent(new Event("addresschange"));
}

addEventListener("popstate", () => dispatchEvent(new Event("addresschange")));

const traceLink = (id) => "/trace/" + encodeURIComponent(id);
const sessionLink = (session) => href("/session", { session });

/** The filters of the address, without what only one view knows. */
function filterValues() {
  const { sort, order, offset, limit, a, b, all, id, by, ...rest } = Object.fromEntries(params());
  const tags = params().getAll("tag");
  return tags.length ? { ...rest, tag: tags } : rest;
}
