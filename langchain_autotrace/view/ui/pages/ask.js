// Questions before something is deleted.

/** Ask whether to delete traces, and delete them; resolves to how many were, or null when they are kept. */
function askToDelete(ids) {
  const what = ids.length === 1 ? "this trace" : `${count(ids.length)} traces`;
  return new Promise((done) => {
    const close = (result) => {
      dialog.remove();
      done(result);
    };
    const remove = el("button", { class: "danger", onclick: () => removeNow() }, "Delete");
    const problem = el("p", { class: "problem", role: "alert" });
    const keep = el("button", { class: "plain-button", onclick: () => close(null) }, "Keep");
    const removeNow = async () => {
      remove.disabled = true;
      try {
        close((await send("/api/delete", { ids })).deleted);
      } catch (error) {
        remove.disabled = false;
        problem.textContent = error.message;
      }
    };
    const dialog = el(
      "dialog",
      { class: "question", "aria-labelledby": "question", oncancel: () => close(null) },
      el("h2", { id: "question" }, `Delete ${what}?`),
      el("p", {}, `${ids.length === 1 ? "It is" : "They are"} removed from the store, with all spans. This cannot be undone.`),
      problem,
      el("div", { class: "answers" }, keep, remove),
    );
    document.body.append(dialog);
    dialog.showModal();
    keep.focus();
  });
}
