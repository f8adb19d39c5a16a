// The exact request of a model's call, as JSON and as a curl command for an API in OpenAI's form.

/** Provider -> base address and name of the environment variable with the key. */
const APIS = {
  openai: ["https://api.openai.com/v1", "OPENAI_API_KEY"],
  anthropic: ["https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"],
  google_genai: ["https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"],
  mistralai: ["https://api.mistral.ai/v1", "MISTRAL_API_KEY"],
  groq: ["https://api.groq.com/openai/v1", "GROQ_API_KEY"],
  deepseek: ["https://api.deepseek.com", "DEEPSEEK_API_KEY"],
  xai: ["https://api.x.ai/v1", "XAI_API_KEY"],
  openrouter: ["https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"],
  ollama: ["http://localhost:11434/v1", "OLLAMA_API_KEY"],
};
const PARAMETERS = [
  "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "n", "frequency_penalty",
  "presence_penalty", "reasoning_effort", "response_format", "tool_choice", "parallel_tool_calls",
];

/** The request's body, or null where the span is no model's call with messages. */
function requestBody(span) {
  const asked = isModel(span) ? messages(span.inputs) : null;
  if (!asked) return null;
  const given = isObject(span.attributes.invocation_params) ? span.attributes.invocation_params : {};
  const model = span.attributes["gen_ai.request.model"] ?? given.model ?? given.model_name ?? span.model ?? "MODEL";
  const parameters = PARAMETERS.filter((name) => given[name] != null).map((name) => [name, given[name]]);
  const tools = Array.isArray(span.tools) && span.tools.length ? { tools: span.tools } : {};
  return { model, messages: asked.map(withFiles), ...tools, ...Object.fromEntries(parameters) };
}

/** A value with the files that are in the page in place of references to them. */
function withFiles(value) {
  if (typeof value === "string") {
    const file = value.startsWith("mlflow-attachment://") ? fileOf(value) : null;
    return file?.data ? `data:${file.type};base64,${file.data}` : value;
  }
  if (Array.isArray(value)) return value.map(withFiles);
  if (!isObject(value)) return value;
  const sound = value.type === "input_audio" ? fileOf(value.input_audio?.data) : null;
  if (sound?.data) return { ...value, input_audio: { ...value.input_audio, data: sound.data } };
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withFiles(one)]));
}

/** A curl command. The body is in single quotes: nothing in it is run, whatever a trace holds. */
function curl(span) {
  const [base, key] = known(APIS, span.provider) ?? ["$OPENAI_BASE_URL", "OPENAI_API_KEY"];
  const hidden = new RegExp(`[${HIDDEN}]`, "gu");
  const escaped = (letter) => [...Array(letter.length).keys()].map((at) => "\\u" + letter.charCodeAt(at).toString(16).padStart(4, "0")).join("");
  const body = JSON.stringify(requestBody(span), null, 2).replace(hidden, escaped);
  const lines = [
    `curl "${base}/chat/completions"`,
    `-H "Authorization: Bearer $${key}"`,
    `-H "Content-Type: application/json"`,
    `-d '${body.replaceAll("'", "'\\''")}'`,
  ];
  return lines.join(" \\\n  ") + "\n";
}

function requestSection(span) {
  if (!requestBody(span)) return null;
  const text = () => JSON.stringify(requestBody(span), null, 2);
  const buttons = el("span", { class: "buttons" }, copyButton(text, "Copy as JSON"), copyButton(() => curl(span), "Copy as curl"));
  return section("Request", "what was asked, with its tools", buttons);
}
