// Preloaded into a child process that knows nothing of us (node --import): when the channel to its parent closes,
// however the parent died, it ends as on Ctrl-C, and so writes what it holds.
process.once("disconnect", () => {
  process.emit("SIGINT");
});
// What it prints while it ends goes nowhere where the parent is dead: that is no reason not to write.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
