// Question: what does loading our bundle cost, beside a bare app of one function that is bundled the same way?
// With a hub as the only sender, and with all senders: the hub, Web Push with VAPID keys, and MPNS with a certificate. Each
// load in a fresh process, the variants alternating. The time is from the process's start until all functions are registered;
// beside it are the time of the import alone, because the platform may start Node in advance, and the time until a first call
// can be answered, as the handlers are loaded in the background.
// Run: npm run bench -- coldStart
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createCertificateAuthority } from "../local/certificateAuthority.ts";
import { bundle, bundleApp } from "../scripts/bundle.ts";
import { root } from "../scripts/root.ts";
import { createVapidKey } from "../scripts/vapidKey.ts";
import { runChild } from "./helpers/children.ts";
import type { Loaded } from "./helpers/loadBundle.ts";
import { reportAtMost, toRatios, toSummary } from "./helpers/report.ts";

const ROUNDS = 15;
const LIMIT = 1.25;
const VARIANTS = ["bare", "hub", "all senders"] as const;
const BARE = `import { app } from "@azure/functions";
app.http("bare", { methods: ["GET"], handler: () => ({ body: "ok" }) });
`;
const LOADER = fileURLToPath(import.meta.resolve("./helpers/loadBundle.ts"));
const SERVICE_NAME = "push.example.com";
const HUB = {
  STORAGE_TABLE_ENDPOINT: "https://account.table.core.windows.net",
  NOTIFICATION_HUB_CONNECTION_STRING:
    "Endpoint=sb://namespace.servicebus.windows.net/;SharedAccessKeyName=ListenAndSend;SharedAccessKey=a2V5",
  NOTIFICATION_HUB_NAME: "hub",
  AUTH_ISSUER: "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0",
  AUTH_AUDIENCE: "00000000-0000-0000-0000-000000000000",
  PAYLOAD_KEK: "https://vault.vault.azure.net/keys/payload-kek",
};
type Variant = (typeof VARIANTS)[number];

await compare();

async function compare(): Promise<void> {
  // Inside the repository, where the bare app finds its library.
  await mkdir(join(root, ".local"), { recursive: true });
  const directory = await mkdtemp(join(root, ".local/bench-"));
  try {
    await writeFile(join(directory, "bare.ts"), BARE);
    await bundle(join(directory, "bare.ts"), join(directory, "bare"));
    await bundleApp(join(directory, "ours"));
    await bundle(LOADER, join(directory, "loader")); // so that Node does not load its TypeScript support
    const loader = pathToFileURL(join(directory, "loader/main.js")).href;
    await writeFile(join(directory, "package.json"), '{ "type": "module" }');
    const settings = { bare: {}, hub: HUB, "all senders": { ...HUB, ...(await createSenderSettings()) } };
    const results = new Map<Variant, Loaded[]>(VARIANTS.map((name) => [name, []]));
    for (let round = 0; round < ROUNDS; round++)
      for (const name of round % 2 === 0 ? VARIANTS : VARIANTS.toReversed()) {
        const path = join(directory, name === "bare" ? "bare" : "ours", "main.js");
        const env = { PATH: process.env["PATH"], ...settings[name] };
        results.get(name)?.push((await runChild(loader, [path], env)) as Loaded); // what it sends
      }
    print((name, member) => (results.get(name) ?? []).map((one) => one[member]));
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function createSenderSettings(): Promise<Record<string, string>> {
  const authority = await createCertificateAuthority("bench authority");
  const mpns = await authority.issue({ commonName: SERVICE_NAME, usages: ["client"] });
  return {
    VAPID_KEYS: JSON.stringify({ keys: [createVapidKey().jwk] }),
    VAPID_SUBJECT: "mailto:push@example.com",
    MPNS_CERTIFICATE: mpns.certificate + authority.certificate,
    MPNS_PRIVATE_KEY: mpns.privateKey,
    MPNS_SERVICE_NAME: SERVICE_NAME,
    MPNS_CA: authority.certificate,
    MPNS_HOSTS: SERVICE_NAME,
  };
}

function print(of: (name: Variant, member: keyof Loaded) => readonly number[]): void {
  for (const name of VARIANTS) {
    console.log(`${name}, since the process began, ms: ${toSummary(of(name, "sinceStartMs"), 0)}`);
    console.log(`${name}, the import alone, ms: ${toSummary(of(name, "importMs"), 0)}`);
  }
  for (const name of ["hub", "all senders"] as const) {
    const ratios = (member: keyof Loaded) => toRatios(of(name, member), of("bare", member));
    console.log(`${name}, the import alone, to the bare app's: ${toSummary(ratios("importMs"), 2)}`);
    console.log(
      `${name}, until all that a call needs is loaded, to the bare app: ${toSummary(ratios("completeMs"), 2)}`,
    );
    reportAtMost({ what: `cold start, ${name}, to a bare app`, values: ratios("sinceStartMs") }, LIMIT);
  }
}
