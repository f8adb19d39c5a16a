// Requests to the page's own server.

const csrf = document.querySelector('meta[name="csrf"]').content;

async function answerOf(response) {
  const text = await response.text();
  let data = null;
  try {
    data = JSON.parse(text);
  } catch {
    throw new Error("The server's answer is not JSON.");
  }
  if (!response.ok) throw new Error(data.error ?? `The server answered ${response.status}.`);
  return data;
}

/** Read data. Throws an Error with a text for the user. */
async function read(address, signal) {
  let response = null;
  try {
    response = await fetch(address, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is langchain-autotrace ui still running?");
  }
  return answerOf(response);
}

/** Change something. Throws an Error with a text for the user. */
async function send(address, data) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf };
  return answerOf(await fetch(address, { method: "POST", headers, body: JSON.stringify(data) }));
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Wait until the page is seen: a page in the background asks for nothing. */
const whenSeen = () =>
  document.hidden ? new Promise((done) => document.addEventListener("visibilitychange", done, { once: true })) : null;
