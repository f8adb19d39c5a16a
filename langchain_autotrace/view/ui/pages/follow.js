// Keeps a view up to date: the server answers when something has changed.

const LEAST_PAUSE = 300; // milliseconds between two readings of a view
const SHARE = 5; // a view of sums is read again only after this many times the time that it took
const BUSY_PAUSE = 1000;
const isFile = store.startsWith("sqlite:"); // of other stores nobody says when they change: they are asked again and again
const REMOTE_SHARE = 20;

/** What brings a view up to date. The list shows what runs, too; the others what is stored. */
const RELOADS = {
  "/": loadList, "/sessions": loadSessions, "/session": loadSession, "/overview": loadOverview, "/models": loadModels, "/model": loadModel,
};
const reload = RELOADS[location.pathname];
const isList = location.pathname === "/";

const changes = (version, wait) => read(href("/api/changes", { version, wait, of: isList ? null : "store" }));

/** Follow the changes after a version; `isLost` says whether the server has not answered yet. */
async function followChanges(version) {
  let isDue = false;
  liveDot.hidden = false;
  for (;;) {
    await whenSeen();
    let took = 0;
    try {
      const answer = await changes(version, isDue ? 0 : 5);
      showLive(true);
      isDue ||= answer.version !== version || !isFile;
      version = answer.version;
      if (isDue && !isBusy()) {
        const began = performance.now();
        isDue = false;
        await (content.contains(isList ? listBox : results) ? reload() : draw());
        took = performance.now() - began;
      }
    } catch {
      showLive(false);
      isDue = true;
      await pause(2000);
    }
    const rest = took * (isFile ? SHARE : REMOTE_SHARE);
    await pause(Math.max(LEAST_PAUSE, isList ? 0 : rest, isDue ? BUSY_PAUSE : 0));
  }
}

function showLive(isConnected) {
  liveDot.className = isConnected ? "live" : "live lost";
  liveDot.textContent = isConnected ? "Live" : "Not connected";
}

/** Whether somebody is at something that drawing anew would take away. */
function isBusy() {
  if (isList) return !isFirstPage();
  const chosen = getSelection();
  return Boolean(results.querySelector(".u-over:hover")) || (!chosen.isCollapsed && results.contains(chosen.anchorNode));
}
