// The part of Markdown that models write, as nodes. Links go to http(s) only; pictures are not loaded.

const INLINE = new RegExp(
  [
    /(`+)([^`]+?)\1/, // code
    /\*\*(\S(?:[^*]*\S)?)\*\*|__(\S(?:[^_]*\S)?)__/, // strong
    /(?<![\w*])\*(\S(?:[^*]*\S)?)\*(?!\w)/, // emphasis
    /\[([^\]]*)\]\(\s*(https?:\/\/[^\s)]+)\s*\)/, // link
    /(https?:\/\/[^\s<>"')\]]+)/, // address
  ]
    .map((one) => one.source)
    .join("|"),
  "g",
);
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const FENCE = /^\s*(```|~~~)/;
const HEADING = /^#{1,6}\s+(.*)/;
const QUOTE = /^\s*>\s?/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const TABLE_RULE = /^\|?[\s:|-]*-[\s:|-]*$/;
const MAX_INLINE = 20_000; // beyond it, the patterns could take long

const link = (href, content) =>
  el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow", title: visible(href) }, content);

const host = (url) => url.replace(/^https?:\/\//, "").split(/[/?#]/)[0];

function inline(text) {
  if (text.length > MAX_INLINE) return plain(text);
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    nodes.push(...plain(text.slice(from, found.index)), ...inlineNode(found));
    from = found.index + found[0].length;
  }
  return [...nodes, ...plain(text.slice(from))];
}

function inlineNode([, , code, strong, strongToo, emphasis, label, target, address]) {
  if (code) return [el("code", {}, plain(code))];
  if (strong || strongToo) return [el("b", {}, inline(strong || strongToo))];
  if (emphasis) return [el("em", {}, inline(emphasis))];
  if (address) return [link(address, plain(address))];
  // A label can name another address than the link's: the link's host stands beside it.
  const where = label && label !== target ? [el("span", { class: "host" }, plain(` (${host(target)})`))] : [];
  return [link(target, plain(label || target)), ...where];
}

function markdown(text) {
  const lines = { at: 0, all: text.replaceAll("\r\n", "\n").split("\n") };
  const box = el("div", { class: "md" });
  while (lines.at < lines.all.length) {
    const node = block(lines);
    if (node) box.append(node);
  }
  return box;
}

/** Take lines while they pass a test. */
function take(lines, test) {
  const from = lines.at;
  while (lines.at < lines.all.length && test(lines.all[lines.at])) lines.at++;
  return lines.all.slice(from, lines.at);
}

function block(lines) {
  const line = lines.all[lines.at];
  if (!line.trim() || RULE.test(line)) {
    lines.at++;
    return line.trim() ? el("hr") : null;
  }
  if (FENCE.test(line)) return codeBlock(lines, line.match(FENCE)[1]);
  if (HEADING.test(line)) {
    lines.at++;
    return el("p", { class: "heading" }, inline(line.match(HEADING)[1]));
  }
  if (ITEM.test(line)) return list(take(lines, (one) => ITEM.test(one) || /^\s{2,}\S/.test(one)));
  if (QUOTE.test(line)) {
    const quoted = take(lines, (one) => QUOTE.test(one));
    return el("blockquote", {}, inline(quoted.map((one) => one.replace(QUOTE, "")).join("\n")));
  }
  if (line.includes("|") && isTableRule(lines.all[lines.at + 1])) return table(lines);
  lines.at++; // one line at least: one that looks like a block and is none would stay forever
  const more = take(lines, (one) => one.trim() && ![FENCE, HEADING, ITEM, QUOTE, RULE].some((mark) => mark.test(one)));
  return el("p", {}, inline([line, ...more].join("\n")));
}

function codeBlock(lines, fence) {
  lines.at++;
  const code = take(lines, (one) => !one.trim().startsWith(fence));
  lines.at++;
  return el("pre", {}, el("code", {}, plain(code.join("\n"))));
}

/** A list whose deeper items are lists below the item before them. */
function list(lines) {
  const first = lines[0].match(ITEM);
  const box = el(/\d/.test(first[2]) ? "ol" : "ul", { start: /\d/.test(first[2]) ? parseInt(first[2]) : null });
  for (let at = 0; at < lines.length; ) {
    const found = lines[at].match(ITEM);
    const from = ++at;
    const isBelow = (line) => !ITEM.test(line) || line.match(ITEM)[1].length > first[1].length;
    while (at < lines.length && isBelow(lines[at])) at++;
    const below = lines.slice(from, at);
    const nested = below.findIndex((line) => ITEM.test(line));
    const text = [found[3], ...below.slice(0, nested < 0 ? below.length : nested).map((line) => line.trim())];
    box.append(el("li", {}, inline(text.join("\n")), nested < 0 ? null : list(below.slice(nested))));
  }
  return box;
}

const isTableRule = (line) => line !== undefined && line.length < 1000 && line.includes("|") && TABLE_RULE.test(line.trim());

const cells = (line) =>
  line
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());

function table(lines) {
  const names = cells(lines.all[lines.at]);
  lines.at += 2;
  const rows = take(lines, (line) => line.includes("|"));
  const row = (tag, parts) => el("tr", {}, parts.map((cell) => el(tag, {}, inline(cell))));
  const body = rows.map((line) => row("td", cells(line)));
  return el("div", { class: "wide", tabIndex: 0, role: "group", "aria-label": "table" }, el("table", {}, row("th", names), body));
}

const prose = (text) => long(String(text), markdown);
