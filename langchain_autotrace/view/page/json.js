// JSON as a tree of folds, which are filled when they are opened.

const JSON_PAGE = 200;
const JSON_OPEN = 200; // letters of JSON that are shown unfolded

function json(value, key) {
  const name = key == null ? [] : [el("span", { class: "key" }, plain(key)), ": "];
  if (value !== null && typeof value === "object") return jsonFold(value, key, name);
  if (typeof value === "string") return el("div", { class: "leaf" }, name, jsonString(value));
  return el("div", { class: "leaf" }, name, el("span", { class: typeof value === "number" ? "number" : "literal" }, plain(value)));
}

function jsonString(value) {
  const file = fileOf(value);
  return file ? media(file) : long(value, (text) => el("span", { class: "string" }, plain(text || '""')));
}

function jsonFold(value, key, name) {
  const keys = Object.keys(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (!keys.length) return el("div", { class: "leaf" }, name, el("span", { class: "size" }, open + close));
  const some = keys.slice(0, 4).join(", ") + (keys.length > 4 ? ", …" : "");
  const inside = Array.isArray(value) ? `${keys.length} ${keys.length === 1 ? "item" : "items"}` : some;
  const body = el("div", {});
  const box = el("details", {}, el("summary", {}, name, el("span", { class: "size" }, `${open} `, plain(inside), ` ${close}`)), body);
  const fill = () => body.childNodes.length || body.append(...jsonPage(value, keys, 0));
  box.addEventListener("toggle", () => box.open && fill());
  if (key == null || holdsNeedle(value) || (keys.length <= 3 && JSON.stringify(value).length < JSON_OPEN)) {
    fill();
    box.open = true;
  }
  return box;
}

const holdsNeedle = (value) => needle !== "" && JSON.stringify(value).toLowerCase().includes(needle);

function jsonPage(value, keys, from) {
  const to = from + JSON_PAGE;
  const nodes = keys.slice(from, to).map((key) => json(value[key], key));
  if (keys.length <= to) return nodes;
  const label = `Show ${Math.min(JSON_PAGE, keys.length - to)} more of ${count(keys.length)}`;
  const more = el("button", { class: "more", onclick: () => more.replaceWith(...jsonPage(value, keys, to)) }, label);
  return [...nodes, more];
}

/** A value as JSON; an object's fields without a fold around them. */
function jsonBox(value) {
  const isFlat = value !== null && typeof value === "object" && !Array.isArray(value);
  const keys = isFlat ? Object.keys(value) : [];
  return el("div", { class: "json" }, keys.length ? jsonPage(value, keys, 0) : json(value));
}
