// Preloaded into a child process that knows nothing of us (node --import): when the channel to its parent closes,
// however the parent died, it ends as on Ctrl-C, and so writes what it holds.
process.once("disconnect", () => {
  process.emit("SIGINT");
});
