// Small parts that several views have.

const STATES = { OK: "OK", ERROR: "Error", IN_PROGRESS: "Running" };
const stateName = (status) => (Object.hasOwn(STATES, status) ? STATES[status] : "Unknown");
const pill = (status) => el("span", { class: "pill " + (Object.hasOwn(STATES, status) ? status : "UNSET") }, stateName(status));
const ms = (number) => (number == null ? null : time(number * 1000));
const percent = (part, whole) => (whole ? `${((part / whole) * 100).toFixed(part && part / whole < 0.1 ? 1 : 0)} %` : "–");
const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

/** How long ago a moment is; its date from yesterday on. */
function ago(moment) {
  const seconds = (Date.now() - moment) / 1000;
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const date = new Date(moment);
  const options = { month: "short", day: "numeric", ...(date.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" }) };
  return `${date.toLocaleDateString("en", options)}, ${date.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hour12: false })}`;
}

const moment = (ms_) =>
  el("time", { dateTime: new Date(ms_).toISOString(), title: new Date(ms_).toLocaleString() }, ago(ms_));

const heading = (title, ...more) => el("div", { class: "heading" }, el("h1", {}, title), more);
const nothing = (title, ...more) => el("div", { class: "nothing" }, el("p", { class: "big" }, title), more);

/** Draw a part anew; what had the focus in it, or what has the same name now, has it again. */
function keepingFocus(box, draw) {
  const nameOf = (node) => node.getAttribute("aria-label") || node.name || node.textContent;
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  const [tag, name] = focused ? [focused.tagName, nameOf(focused)] : [];
  draw();
  if (!focused || document.activeElement === focused) return;
  const again = box.contains(focused) ? focused : [...box.querySelectorAll(tag)].find((node) => nameOf(node) === name);
  again?.focus();
}

/** Draw a part anew; what has the focus, is open, or was scrolled to in it stays so. */
function keepingPlace(box, draw) {
  const find = (selector) => [...box.querySelectorAll(selector)];
  const [x, y] = [scrollX, scrollY];
  const titleOf = (details) => details.querySelector("summary").textContent;
  const open = new Set(find("details[open]").map(titleOf));
  const places = new Map(find(".wide").map((wide) => [wide.getAttribute("aria-label"), [wide.scrollLeft, wide.scrollTop]]));
  keepingFocus(box, draw);
  for (const details of find("details")) details.open = details.open || open.has(titleOf(details));
  for (const wide of find(".wide")) wide.scrollTo(...(places.get(wide.getAttribute("aria-label")) ?? [0, 0]));
  scrollTo(x, y);
}

/** A number as a text; a dash for one that nobody knows. */
const known = (number, format) => (number == null ? "–" : format(number));

/** The sum of the numbers that are known; null when none is. */
function sumOf(numbers) {
  const found = numbers.filter((one) => one != null);
  return found.length ? found.reduce((all, one) => all + one, 0) : null;
}

/** What stands above sums that not all traces are in. */
const newestOnly = (number) =>
  number ? el("p", { class: "note" }, `Only the newest ${count(number)} traces are counted: this store cannot be asked for sums over more.`) : null;

/** Links to the pages before and after. */
function pager({ offset, limit, total, capped }, shown) {
  if (!total && !offset) return null;
  const last = offset + shown;
  const range = `${count(offset + (shown ? 1 : 0))}–${count(last)} of ${capped ? "more than " : ""}${count(Math.max(total - (capped ? 1 : 0), last))}`;
  const button = (label, to, name) =>
    el("button", { class: "plain-button", disabled: to == null, "aria-label": name, onclick: () => go({ offset: to || null }) }, icon(label));
  return el(
    "div",
    { class: "pager" },
    el("span", {}, range),
    button("back", offset > 0 ? Math.max(0, offset - limit) : null, "Previous page"),
    button("next", last < total ? last : null, "Next page"),
  );
}

/** A link of the form name + value. */
const chipLink = (address, text, title, sign = null) =>
  el("a", { class: "chip", href: address, title: visible(title) }, sign && icon(sign), plain(text));

/** A number with its name, as the head of a view has some. */
const figure = (name, value, note = null, className = "") =>
  el("div", { class: "figure " + className }, el("dt", {}, name), el("dd", {}, value, note ? el("small", {}, note) : null));
