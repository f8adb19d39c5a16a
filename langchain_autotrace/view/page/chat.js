// A conversation: messages with their tool calls, each call with its result.

const ROLE_NAMES = { user: "User", assistant: "Assistant", system: "System", tool: "Tool" };
const LEAST_FOLDED = 3;
const TEXT_BLOCKS = new Set(["text", "output_text", "input_text", "refusal"]);
const CALL_BLOCKS = new Set(["tool_use", "tool_call", "function_call"]);

/** The conversation as one box. Of what was known before this step, the middle is folded. */
function thread(list, fresh = 0) {
  const results = resultsOf(list);
  const joined = new Set(list.filter((message) => toolCalls(message).length).flatMap(toolCalls).map((call) => results.get(call.id)));
  const shown = list.map((message, at) => ({ message, at })).filter(({ message }) => !joined.has(message));
  const start = role(list[0]) === "system" ? 1 : 0;
  const old = shown.filter(({ at }) => at >= start && at < fresh - 1);
  const folded = !needle && old.length >= LEAST_FOLDED ? new Set(old) : new Set();
  const box = el("div", { class: "thread" });
  for (const one of shown) {
    if (fresh && one.at >= fresh && !box.querySelector(".divider")) box.append(el("div", { class: "divider" }, "new in this step"));
    if (!folded.has(one)) box.append(messageBox(one.message, list, results, fresh));
    else if (one === old[0]) box.append(earlier(old, list, results, fresh));
  }
  return box;
}

const resultsOf = (list) =>
  new Map(list.filter((one) => role(one) === "tool" && one.tool_call_id).map((one) => [one.tool_call_id, one]));

function earlier(old, list, results, fresh) {
  const draw = () => old.map(({ message }) => messageBox(message, list, results, fresh));
  const label = `Show ${old.length} earlier messages`;
  return el("button", { class: "earlier", onclick: (event) => event.currentTarget.replaceWith(...draw()) }, label);
}

function messageBox(message, list, results, fresh) {
  const who = role(message);
  const name = message.name ? el("span", {}, plain(message.name)) : null;
  const failed = message.status === "error" ? el("span", { class: "failed" }, "error") : null;
  const isOld = list.indexOf(message) < fresh;
  const isFresh = (result) => isOld && list.indexOf(result) >= fresh;
  const calls = toolCalls(message).map((call) => callBox(call, results.get(call.id), isFresh));
  const body = el("div", {}, el("div", { class: "role" }, ROLE_NAMES[who], name, failed), contentNodes(message), calls);
  return el("div", { class: "message " + who }, el("div", { class: "avatar" }, icon(who)), body);
}

/** A tool call with its result: from the conversation, or from the tool's own span. */
function callBox(call, result, isFresh) {
  const span = view.toolSpans.get(call.id);
  const open = span ? el("button", { class: "quiet-button", onclick: () => select(span, true) }, "Open span") : null;
  const id = call.id ? el("span", { class: "id" }, plain(call.id)) : null;
  const title = el("div", { class: "title" }, el("span", { class: "icon TOOL" }, icon("TOOL")), el("span", {}, plain(call.name)), el("span", { class: "grow" }), id, open);
  const empty = isObject(call.args) && !Object.keys(call.args).length;
  const args = empty ? el("span", { class: "size" }, "no arguments") : jsonBox(call.args ?? null);
  return el("div", { class: "call" }, title, el("div", { class: "body" }, args), resultBox(result, span, isFresh));
}

function resultBox(result, span, isFresh) {
  if (!result && !span) return null;
  const failed = result ? result.status === "error" : span.status === "ERROR";
  const hint = (failed ? "failed" : "result") + (!result ? ", from the tool's span" : isFresh(result) ? " · new in this step" : "");
  const text = result ? contentNodes(result) : toolOutput(span);
  return el("div", { class: "body result" + (failed ? " failed" : "") }, el("div", { class: "hint" }, hint), text);
}

function toolOutput(span) {
  const said = messages(span.outputs);
  if (said) return said.map(contentNodes);
  if (span.outputs == null) return prose(span.error ?? "");
  return typeof span.outputs === "string" ? prose(span.outputs) : jsonBox(span.outputs);
}

function contentNodes(message) {
  const content = message.content;
  const blocks = Array.isArray(content) ? content : content === "" || content == null ? [] : [content];
  const before = message.reasoning ?? message.reasoning_content ?? message.additional_kwargs?.reasoning_content;
  const sound = isObject(message.audio) ? fileOfParts(message.audio.data, "audio/" + (message.audio.format ?? "wav")) : null;
  return [before ? thought(before) : null, blocks.map(blockNodes), sound ? media(sound) : null];
}

function blockNodes(block) {
  if (typeof block === "string") return asBlock(block);
  const type = block?.type;
  if (TEXT_BLOCKS.has(type)) return prose(block.text ?? block.refusal ?? "");
  if (CALL_BLOCKS.has(type)) return null; // drawn as tool calls
  if (type === "reasoning" || type === "thinking") return thought(block.reasoning ?? block.thinking ?? summaryOf(block));
  const file = isObject(block) ? fileOfBlock(block) : null;
  if (file) return file;
  return jsonBox(block);
}

/** A text: JSON that a tool answered as a tree, anything else as Markdown. */
function asBlock(text) {
  if (/^\s*[[{]/.test(text)) {
    try {
      return jsonBox(JSON.parse(text));
    } catch {
      // not JSON
    }
  }
  return fileOf(text) ? media(fileOf(text)) : prose(text);
}

/** A picture, sound, or document in any of the forms that providers have for it; null for other blocks. */
function fileOfBlock(block) {
  const url = block.image_url?.url ?? block.image_url ?? block.url ?? block.file?.url;
  if (typeof url === "string") return mediaAt(url);
  const inner = block.input_audio ?? block.file ?? block.source ?? block;
  const data = [inner.data, inner.base64, inner.file_data].find((one) => typeof one === "string");
  const format = block.type === "input_audio" ? "audio/" + inner.format : null;
  const file = data && fileOfParts(data, inner.mime_type ?? inner.media_type ?? format);
  return file ? media(file) : null;
}

function summaryOf(block) {
  const parts = Array.isArray(block.summary) ? block.summary : [];
  return parts.map((part) => part?.text ?? "").join("\n\n");
}

const thought = (text) =>
  text && el("details", { class: "thought", open: String(text).length < 600 }, el("summary", {}, "Thinking"), prose(text));
