// Documents of retrievers, and values of any form.

const isDocument = (value) => isObject(value) && typeof value.page_content === "string";

const documents = (value) => (Array.isArray(value) && value.length && value.every(isDocument) ? value : null);

function documentBox(found, at) {
  const { source, score, ...rest } = isObject(found.metadata) ? found.metadata : {};
  const isLink = typeof source === "string" && /^https?:\/\//.test(source);
  const name = source == null ? plain(found.id ?? "document") : isLink ? link(source, plain(source)) : plain(asText(source));
  const points = typeof score === "number" ? el("span", { class: "score", title: "score" }, score.toFixed(2)) : null;
  const chips = Object.entries(rest).map(([key, value]) =>
    el("span", { class: "chip" }, plain(`${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`)),
  );
  return el(
    "div",
    { class: "card document" },
    el("div", { class: "title" }, el("span", {}, at + 1), el("b", {}, name), points),
    long(found.page_content, (text) => el("div", { class: "text" }, plain(text))),
    chips.length ? el("div", { class: "chips" }, chips) : null,
  );
}

/** Any value: documents, a conversation, prose, a file, or JSON. */
function valueBox(value) {
  const found = documents(value);
  if (found) return el("div", {}, found.map(documentBox));
  const chat = messages(value);
  if (chat) return el("div", {}, thread(chat), restBox(value));
  const file = fileOf(value);
  const body = file ? media(file) : typeof value === "string" ? prose(value) : jsonBox(value);
  return el("div", { class: "card" }, body);
}

/** What a graph's state holds beside its messages. */
function restBox(value) {
  const rest = besideMessages(value);
  return rest ? el("div", { class: "card" }, jsonBox(rest)) : null;
}
