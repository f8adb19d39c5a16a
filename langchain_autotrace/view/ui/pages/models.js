// Chains that were logged as models.

async function drawModels() {
  drawFrame("Models");
  if (!content.contains(results)) show(heading("Models"), results);
  await loadModels();
}

async function loadModels() {
  const data = await latest("/api/models" + location.search);
  if (data) fill(data.models.length ? modelTable(data.models) : noModels());
}

const noModels = () =>
  nothing("No models logged.", el("p", {}, "Call ", el("code", {}, "autolog(log_models=True)"), " in your program: each chain that runs becomes a model."));

function modelTable(models) {
  const head = ["Name", "State", "Hash", "Created"];
  const row = (one) =>
    el(
      "tr",
      { class: "trace", onclick: (event) => event.target.closest("a") || location.assign(modelLink(one.model_id)) },
      el("td", { class: "title" }, el("div", { class: "name" }, el("a", { href: modelLink(one.model_id) }, plain(one.name))), el("span", { class: "note" }, plain(one.model_id))),
      el("td", { class: "preview" }, one.loadable ? el("span", { class: "pill OK" }, "Loadable") : el("span", { class: "pill warn" }, "Not loadable"), one.reason ? el("div", { class: "said" }, plain(one.reason)) : null),
      el("td", { class: "number" }, el("code", {}, plain(one.content_hash.slice(0, 12)))),
      el("td", { class: "number started" }, moment(one.created_ms)),
    );
  return el("table", { class: "traces models" }, el("caption", { class: "unseen" }, "Models"), el("thead", {}, el("tr", {}, head.map((name, at) => el("th", { scope: "col", class: at > 1 ? "number" : at ? "preview" : "" }, name)))), el("tbody", {}, models.map(row)));
}

const modelLink = (id) => href("/model", { id });

async function drawModel() {
  drawFrame("Model");
  if (!content.contains(results)) show(el("a", { class: "up", href: "/models" }, icon("back"), "Models"), results);
  await loadModel();
}

async function loadModel() {
  const model = await latest("/api/model/" + encodeURIComponent(params().get("id") ?? ""));
  if (!model) return;
  const { row } = model;
  fill(
    heading(plain(row.name), row.loadable ? el("span", { class: "pill OK" }, "Loadable") : el("span", { class: "pill warn" }, "Not loadable")),
    row.reason ? el("p", { class: "note" }, plain(row.reason)) : null,
    el("dl", { class: "figures" }, figure("Id", plain(row.model_id)), figure("Created", moment(row.created_ms)), figure("Traces", el("a", { href: href("/", { logged_model: row.model_id }) }, count(model.traces.length) + (model.traces.length === 100 ? "+" : "")))),
    el("div", { class: "detail model-detail" }, modelPart("Structure", stepsBox(model.steps)), modelPart("Cannot be built", model.problems), modelPart("Left out as secrets", model.left_out), modelPart("Keys from the environment", model.secrets), modelPart("Parameters", model.params), modelPart("Example", model.has_example ? model.example : null), modelPart("Inputs", model.inputs), modelPart("Outputs", model.outputs), modelPart("Tags", row.tags), modelPart("Address", model.uri)),
  );
}

/** A part of a model's page; nothing where there is nothing to show. */
function modelPart(title, value) {
  if (value == null || (!(value instanceof Node) && typeof value === "object" && !Object.keys(value).length)) return null;
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return el("section", { "aria-label": title }, el("header", {}, el("h2", {}, title)), value instanceof Node ? value : el("pre", {}, plain(text)));
}

function stepsBox(steps) {
  if (!steps.length) return null;
  const step = (one) => {
    const box = el("li", {}, el("b", {}, plain(one.name)), one.detail ? el("span", { class: "note" }, plain(one.detail)) : null);
    box.style.setProperty("--depth", Math.min(one.depth, 14));
    return box;
  };
  return el("ol", { class: "steps card" }, steps.map(step));
}
