// Text as nodes: characters that hide or reorder their neighbours are shown by number, search hits are marked.

const HIDDEN =
  "\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b\\u200e\\u200f" +
  "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ud800-\\udfff\\ufeff\\uffa0\\ufff9-\\ufffb\\u{e0000}-\\u{e0fff}";
const HIDDEN_RUN = new RegExp(`([${HIDDEN}]+)`, "u");
const MAX_CODES = 12;
const MAX_TEXT = 4000;

/** What search looks for, in lower case; empty without a search. */
let needle = "";

const code = (letter) => "U+" + letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

function hiddenRun(run) {
  const letters = [...run];
  const more = letters.length > MAX_CODES ? ` … ${letters.length} characters` : "";
  const codes = letters.slice(0, MAX_CODES).map(code).join(" ") + more;
  // Tag characters mirror ASCII; some write instructions to models with them.
  const tags = letters.filter((one) => one >= "\u{e0020}" && one <= "\u{e007e}");
  const spelled = tags.map((one) => String.fromCharCode(one.codePointAt(0) - 0xe0000)).join("");
  return codes + (spelled ? ` "${spelled.slice(0, 500)}"` : "");
}

/** Text as nodes. */
function plain(value) {
  const text = String(value).replaceAll("\r\n", "\n");
  if (!needle && !HIDDEN_RUN.test(text)) return [document.createTextNode(text)];
  return text
    .split(HIDDEN_RUN)
    .flatMap((part, at) =>
      at % 2 ? el("span", { class: "hidden-run", title: "invisible characters" }, hiddenRun(part)) : marked(part),
    );
}

/** Text for places that hold no nodes, such as titles. */
const visible = (value) =>
  String(value)
    .split(HIDDEN_RUN)
    .map((part, at) => (at % 2 ? `[${hiddenRun(part)}]` : part))
    .join("");

function marked(text) {
  const lower = needle ? text.toLowerCase() : text;
  if (!needle || lower.length !== text.length) return text ? [document.createTextNode(text)] : [];
  const nodes = [];
  let from = 0;
  for (let at = lower.indexOf(needle); at >= 0; at = lower.indexOf(needle, from)) {
    if (at > from) nodes.push(document.createTextNode(text.slice(from, at)));
    nodes.push(el("mark", {}, text.slice(at, at + needle.length)));
    from = at + needle.length;
  }
  if (from < text.length) nodes.push(document.createTextNode(text.slice(from)));
  return nodes;
}

/** Draw a long text cut, with a button that shows all of it. A search shows all: hits can be anywhere. */
function long(text, draw) {
  if (text.length <= MAX_TEXT * 1.25 || (needle && text.toLowerCase().includes(needle))) return draw(text);
  const all = `Show all ${count(text.length)} characters`;
  const more = el("button", { class: "more", onclick: () => box.replaceChildren(draw(text)) }, all);
  const box = el("div", {}, draw(text.slice(0, MAX_TEXT) + "…"), more);
  return box;
}

const asText = (value) => (typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? ""));

// Numbers.

function time(us) {
  if (us == null) return "running";
  if (us < 1000) return (us > 0 && us < 10 ? us.toFixed(1) : Math.round(us)) + " µs";
  if (us < 1e6) return (us / 1000).toFixed(us < 1e4 ? 1 : 0) + " ms";
  if (us < 6e7) return (us / 1e6).toFixed(2) + " s";
  const seconds = Math.round(us / 1e6);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
}

const count = (n) => (n == null ? null : Number(n).toLocaleString("en"));

function short(n) {
  if (n < 1000) return String(n);
  return n < 999_500 ? (n / 1000).toFixed(n < 9950 ? 1 : 0) + "k" : (n / 1e6).toFixed(1) + "M";
}

/** Dollars: two digits that say something, however small the amount. */
function money(n) {
  if (n == null) return null;
  const digits = n === 0 || n >= 1 ? 2 : n >= 0.01 ? 4 : Math.min(12, 1 - Math.floor(Math.log10(n)));
  return "$" + n.toFixed(digits);
}

function bytes(n) {
  if (!(n >= 0)) return "";
  if (n < 1000) return `${n} bytes`;
  return n < 1e6 ? (n / 1000).toFixed(0) + " kB" : (n / 1e6).toFixed(1) + " MB";
}
