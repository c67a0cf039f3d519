// Question: what does loading our bundle cost, beside a bare app of one function that is bundled the same way?
// Each load in a fresh process, the variants alternating; the time is from the process's start until the functions are
// registered. Run: npm run bench
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import Module from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { bundle, bundleApp } from "../scripts/bundle.ts";
import { root } from "../scripts/root.ts";
import { runChild } from "./children.ts";
import { toSummary } from "./report.ts";

const ROUNDS = 15;
const BARE = `import { app } from "@azure/functions";
app.http("bare", { methods: ["GET"], handler: () => ({ body: "ok" }) });
`;

const [entry] = process.argv.slice(2);
if (entry === undefined) await compare();
else await load(entry);

/** In the child: a core module that takes registrations, as the Functions worker supplies it. */
async function load(path: string): Promise<void> {
  const core = {
    setProgrammingModel: () => undefined,
    registerFunction: () => ({ dispose: () => undefined }),
    registerHook: () => ({ dispose: () => undefined }),
    log: () => undefined,
    getProgrammingModel: () => undefined,
    Disposable: Object,
    version: "4.0.0",
    hostVersion: "4.0.0",
  };
  const original = Reflect.get(Module.prototype, "require") as (id: string) => unknown;
  Reflect.set(Module.prototype, "require", function (this: unknown, id: string) {
    return id === "@azure/functions-core" ? core : original.call(this, id);
  });
  await import(pathToFileURL(path).href);
  process.send?.(performance.now()); // since the process began
  process.disconnect();
}

async function compare(): Promise<void> {
  // Inside the repository, where the bare app finds its library.
  await mkdir(join(root, ".local"), { recursive: true });
  const directory = await mkdtemp(join(root, ".local/bench-"));
  try {
    await writeFile(join(directory, "bare.ts"), BARE);
    await bundle(join(directory, "bare.ts"), join(directory, "bare"));
    await bundleApp(join(directory, "ours"));
    await writeFile(join(directory, "package.json"), '{ "type": "module" }');
    const variants = ["bare", "ours"] as const;
    const results = { bare: [] as number[], ours: [] as number[] };
    for (let round = 0; round < ROUNDS; round++)
      for (const variant of round % 2 === 0 ? variants : variants.toReversed())
        results[variant].push(await measure(join(directory, variant, "main.js")));
    for (const variant of variants) console.log(`${variant}, ms: ${toSummary(results[variant], 0)}`);
    const ratios = results.ours.map((value, i) => value / (results.bare[i] ?? NaN));
    console.log(`ratio: ${toSummary(ratios, 2)}`);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function measure(path: string): Promise<number> {
  const elapsedMs = await runChild(import.meta.url, [path], {
    PATH: process.env["PATH"],
    STORAGE_TABLE_ENDPOINT: "https://account.table.core.windows.net",
    NOTIFICATION_HUB_CONNECTION_STRING:
      "Endpoint=sb://namespace.servicebus.windows.net/;SharedAccessKeyName=ListenAndSend;SharedAccessKey=a2V5",
    NOTIFICATION_HUB_NAME: "hub",
    AUTH_ISSUER: "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0",
    AUTH_AUDIENCE: "00000000-0000-0000-0000-000000000000",
    PAYLOAD_KEK: "https://vault.vault.azure.net/keys/payload-kek",
  });
  return Number(elapsedMs);
}
