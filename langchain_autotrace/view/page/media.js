// Files in values: pictures, sound and PDFs that are in this page, or that the page's own server has. Nothing is loaded
// from elsewhere.

const REFERENCE = /^mlflow-attachment:\/\/([\w-]{1,64})\?(.{0,500})$/;
const DATA_URL = /^data:([\w.+/-]{3,80});base64,([A-Za-z0-9+/=\s]+)$/;
const SHOWN = {
  picture: /^image\/(png|jpe?g|gif|webp|avif|bmp)$/,
  sound: /^audio\/[\w.+-]+$/,
  film: /^video\/(mp4|webm|ogg)$/,
  pdf: /^application\/pdf$/,
};

/** A file as {type, size, data, url}: Base64, or an address of the page's server, or neither. Null for other texts. */
function fileOf(text) {
  if (typeof text !== "string") return null;
  if (text.startsWith("mlflow-attachment://")) {
    const found = text.match(REFERENCE);
    if (!found) return null;
    const query = new URLSearchParams(found[2]);
    const held = Object.hasOwn(view.files, found[1]) ? view.files[found[1]] : null;
    const size = held?.size ?? Number(query.get("size"));
    return { type: held?.type ?? query.get("content_type") ?? "file", size, data: held?.data ?? null, url: held?.url };
  }
  const found = text.startsWith("data:") ? text.match(DATA_URL) : null;
  return found && { type: found[1], size: Math.floor((found[2].length * 3) / 4), data: found[2] };
}

/** A file of a content block, which has its data and media type in separate fields. */
const fileOfParts = (data, type) =>
  fileOf(data) ?? (typeof data === "string" ? fileOf(`data:${type};base64,${data}`) : null);

/** A file as a picture, a player, a button that saves a PDF, or a line that says what it is. */
function media({ type, size, data, url: served }) {
  const label = `${type}${size ? ", " + bytes(size) : ""}`;
  if (data === null && !served) return el("p", { class: "file" }, plain(`${label}: not in this page`));
  const url = served ?? `data:${type};base64,${data}`;
  if (SHOWN.picture.test(type)) return el("img", { class: "picture", src: url, alt: visible(`Picture: ${label}`) });
  if (SHOWN.sound.test(type)) return el("audio", { class: "sound", controls: true, src: url, "aria-label": label });
  if (SHOWN.film.test(type)) return el("video", { class: "picture", controls: true, src: url, "aria-label": label });
  if (!SHOWN.pdf.test(type)) return el("p", { class: "file" }, plain(label));
  if (served) return el("p", { class: "file" }, plain(`PDF, ${bytes(size)} `), el("a", { class: "more", href: served, download: "document.pdf" }, "Save"));
  const bytesOf = () => Uint8Array.from(atob(data.replace(/\s/g, "")), (letter) => letter.charCodeAt(0));
  const button = el("button", { class: "more", onclick: () => save("document.pdf", type, bytesOf()) }, "Save");
  return el("p", { class: "file" }, plain(`PDF, ${bytes(size)} `), button);
}

/** A picture or another file by its address: in this page, or a link to another one. */
function mediaAt(url) {
  const file = fileOf(url);
  if (file) return media(file);
  if (/^https?:\/\//.test(url)) return el("p", { class: "file" }, link(url, plain(url)));
  return el("p", { class: "file" }, plain(String(url).slice(0, 200)));
}
