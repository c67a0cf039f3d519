// Loaded first into Azurite's process (node --import). When the channel to the parent process closes, for whatever
// reason, the process ends as on Ctrl-C, and so writes what it holds.
process.once("disconnect", () => {
  process.emit("SIGINT");
});
// If the parent is dead, nobody reads the output. That must not stop the process from writing its files.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
