// Chat messages in values: of models, of graphs' states, in OpenAI's form and in LangChain's.

const ROLES = {
  human: "user", user: "user", HumanMessageChunk: "user", chat: "user",
  ai: "assistant", assistant: "assistant", AIMessageChunk: "assistant", model: "assistant",
  system: "system", developer: "system", tool: "tool", function: "tool",
};

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const known = (table, key) => (typeof key === "string" && Object.hasOwn(table, key) ? table[key] : undefined);
const role = (message) => known(ROLES, message.role) ?? known(ROLES, message.type);
const isMessage = (value) => isObject(value) && "content" in value && role(value) !== undefined;
const areMessages = (value) => Array.isArray(value) && value.length > 0 && value.every(isMessage);

/** The messages that a value is, or that it holds under its usual names; null where it is something else. */
function messages(value) {
  if (areMessages(value)) return value;
  if (isMessage(value)) return [value];
  if (Array.isArray(value)) return value.length === 1 && isObject(value[0]) ? messages(value[0]) : null;
  if (!isObject(value)) return null;
  const choices = Array.isArray(value.choices) ? value.choices.map((choice) => choice?.message) : null;
  if (areMessages(choices)) return choices;
  if (areMessages(value.messages)) return value.messages;
  if (isMessage(value.messages)) return [value.messages];
  return isObject(value.update) ? messages(value.update) : null; // LangGraph's Command
}

/** What a value holds beside its messages, such as other fields of a graph's state; null where there is nothing. */
function besideMessages(value) {
  if (!isObject(value) || isMessage(value) || Array.isArray(value.choices)) return null;
  const { messages: _, update, ...rest } = value;
  const inner = isObject(update) ? besideMessages(update) : null;
  const all = { ...rest, ...(inner ? { update: inner } : {}) };
  return Object.values(all).some((one) => one != null && one !== "") ? all : null;
}

/** A message's tool calls as {id, name, args}. */
function toolCalls(message) {
  const blocks = Array.isArray(message.content) ? message.content.filter((one) => one?.type === "tool_use") : [];
  const lists = [message.tool_calls, message.additional_kwargs?.tool_calls].filter((one) => Array.isArray(one) && one.length);
  return (lists[0] ?? blocks).filter(isObject).map((call) => {
    let args = call.args ?? call.function?.arguments ?? call.input;
    try {
      if (typeof args === "string") args = JSON.parse(args);
    } catch {
      // not JSON: shown as it is
    }
    return { id: call.id, name: String(call.name ?? call.function?.name ?? "tool"), args };
  });
}

const identity = (message) =>
  JSON.stringify([role(message), message.content || "", toolCalls(message).map((call) => call.id), message.tool_call_id]);

/** How many of the first messages of a list are those of another one. */
function commonStart(list, other) {
  let length = 0;
  while (length < list.length && length < other.length && identity(list[length]) === identity(other[length])) length++;
  return length;
}

/** The messages of a span: {all, fresh}. The first `fresh` ones were known before this step. */
function conversation(span) {
  const asked = messages(span.inputs);
  const said = span.outputs == null ? [] : messages(span.outputs);
  if (!asked || !said) return null;
  // A graph answers with all messages of its state, a model with new ones.
  const isWhole = said.length >= asked.length && commonStart(said, asked) === asked.length;
  const all = isWhole ? said : [...asked, ...said];
  return { all, fresh: isModel(span) ? knownBefore(span, asked) : said.length ? asked.length : 0 };
}

const MAX_LOOK_BACK = 20;

/** How many messages of a model's call were in an earlier call of the same conversation, or were its answer. */
function knownBefore(span, asked) {
  const at = view.models.indexOf(span);
  for (const earlier of view.models.slice(Math.max(0, at - MAX_LOOK_BACK), at).reverse()) {
    const before = messages(earlier.inputs);
    if (!before || before.length >= asked.length || commonStart(asked, before) < before.length) continue;
    const answer = messages(earlier.outputs) ?? [];
    return before.length + commonStart(asked.slice(before.length), answer);
  }
  return 0;
}
