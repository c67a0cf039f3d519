// Runs one measurement in a fresh process. I/O: that process.
import { fork } from "node:child_process";
import { once } from "node:events";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Runs a module in a child process until it ends, and returns the message that it sent.
 * @throws Error if it cannot be started, fails, or ends without a message.
 */
export async function runChild(
  url: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<unknown> {
  const path = fileURLToPath(url);
  const child = fork(path, args, { env });
  const messages: unknown[] = [];
  child.on("message", (message) => messages.push(message));
  // A message may come after the exit, but not after the disconnect.
  await Promise.all([once(child, "exit"), once(child, "disconnect")]);
  const { exitCode, signalCode } = child;
  const cause =
    signalCode ?? (exitCode === 0 ? "it sent no message" : `its exit code is ${String(exitCode)}`);
  if (exitCode !== 0 || messages.length === 0)
    throw new Error(`the measurement ${[basename(path), ...args].join(" ")} has no result: ${cause}`);
  return messages[0];
}
