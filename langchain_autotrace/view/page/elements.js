// Elements of the page. Strings become text nodes, never markup: everything in a trace is untrusted.

function el(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (value == null || value === false) continue;
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && !key.includes("-")) node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  AGENT: "M12 3v3M6 9a2 2 0 0 1 2-2h8a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2zM9.5 12v1M14.5 12v1M3 12v3M21 12v3",
  CHAT_MODEL: "M12 3l1.9 5.6L19.5 10.5l-5.6 1.9L12 18l-1.9-5.6L4.5 10.5l5.6-1.9zM19 16v4M17 18h4",
  TOOL: "M14.5 6.5a4 4 0 0 0-5.3 5.3L4 17v3h3l5.2-5.2a4 4 0 0 0 5.3-5.3l-2.5 2.5-2.5-.5-.5-2.5z",
  RETRIEVER: "M11 4a7 7 0 1 1 0 14a7 7 0 0 1 0-14zM16 16l4.5 4.5",
  PARSER: "M8 7l-5 5 5 5M16 7l5 5-5 5",
  CHAIN: "M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  EMBEDDING: "M5 5h5v5H5zM14 5h5v5h-5zM5 14h5v5H5zM14 14h5v5h-5z",
  UNKNOWN: "M12 8a4 4 0 1 1 0 8a4 4 0 0 1 0-8z",
  user: "M12 4a4 4 0 1 1 0 8a4 4 0 0 1 0-8zM4.5 20a7.5 6 0 0 1 15 0",
  system: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  caret: "M9 6l6 6-6 6",
  search: "M11 4a7 7 0 1 1 0 14a7 7 0 0 1 0-14zM16 16l4.5 4.5",
  theme: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  help: "M9 9a3 3 0 1 1 4 2.8c-.7.4-1 1-1 2.2M12 17.5v.5",
  back: "M15 6l-6 6 6 6",
};
Object.assign(PATHS, {
  LLM: PATHS.CHAT_MODEL,
  RERANKER: PATHS.RETRIEVER,
  assistant: PATHS.CHAT_MODEL,
  tool: PATHS.TOOL,
});

function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", Object.hasOwn(PATHS, name) ? PATHS[name] : PATHS.UNKNOWN);
  svg.append(path);
  return svg;
}

/** The class that gives a span its colour and icon: its type, where that is a known one. */
const kindOf = (span) => (/^[A-Z_]+$/.test(span.type) && Object.hasOwn(PATHS, span.type) ? span.type : "UNKNOWN");

function toast(text) {
  const box = el("div", { class: "toast", role: "status" }, text);
  document.body.append(box);
  setTimeout(() => box.remove(), 1400);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Where the page has no clipboard: a file opened in some browsers, a notebook's frame.
    const area = el("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast("Copied");
}

const copyButton = (text, label = "Copy", name = null) =>
  el("button", { class: "quiet-button", "aria-label": name, onclick: () => copy(text()) }, label);

/** Offer content as a file to save. Its name has letters, digits, - and . only. */
function save(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name.replace(/[^\w.-]/g, "_").slice(0, 100) }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
