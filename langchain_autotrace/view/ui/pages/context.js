// What the trace page's parts look for: here is no trace, and no file of one.
const view = { files: {} };
