// npm run start:func: the bundle under the real Functions host (Azure Functions Core Tools), with the services of
// `npm start` (services.ts). Nothing is kept: the data ends with it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { delimiter } from "node:path";
import { bundleApp } from "../scripts/bundle.ts";
import { root } from "../scripts/root.ts";
import { createAzurite } from "./azurite.ts";
import { createClosing } from "./closing.ts";
import { wrap } from "./columns.ts";
import { findCoreTools, NO_CORE_TOOLS } from "./coreTools.ts";
import { isExecutable } from "./executable.ts";
import { toPartLines } from "./partLines.ts";
import { createServices } from "./services.ts";

const write = (lines: readonly string[]) => {
  for (const line of lines) process.stdout.write(`${line}\n`);
};
const say = (text: string) => write(wrap(text));

const func = findCoreTools(process.env["PATH"] ?? "", { delimiter, isExecutable });
if (func === undefined) {
  say(NO_CORE_TOOLS);
  process.exitCode = 1;
} else process.exitCode = await run(func);

async function run(command: string): Promise<number> {
  const { keep, close } = createClosing();
  // Ctrl-C reaches the Core Tools too. The services end after them.
  process.on("SIGINT", () => undefined).on("SIGTERM", () => undefined);
  try {
    say("Starting …");
    await bundleApp();
    const services = keep(
      await createServices({ onPart: ({ name, url }) => write(toPartLines(name, url)), onTrouble: say }),
    );
    const blobs = keep(await createAzurite({ service: "blob" })); // the host keeps the locks of its timers there
    // Settings in the environment win over those of local.settings.json.
    const settings = {
      ...services.settings,
      AzureWebJobsStorage: blobs.connectionString,
      FUNCTIONS_WORKER_RUNTIME: "node",
    };
    say("  Core Tools check no function key on this machine. Their output follows.");
    const child = spawn(command, ["start"], {
      cwd: root,
      env: { ...process.env, ...settings },
      stdio: "inherit",
      shell: process.platform === "win32", // it is func.cmd there
    });
    await once(child, "exit");
    return child.exitCode ?? 1;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return 1;
  } finally {
    await close();
  }
}
