// The whole service on one machine, without Azure: Azurite, an issuer, a hub, and a Functions host in a process of
// its own that runs the bundle that is deployed.
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Azurite, createAzurite } from "./azurite.ts";
import { type FunctionsHostProcess, startFunctionsHostProcess } from "./functionsHost/process.ts";
import { createHubEmulator, type HubEmulator } from "../packages/notification-hubs-emulator/emulator.ts";
import { createIssuer, type Issuer } from "./issuer.ts";
import { startOnPort } from "./port.ts";
import { root } from "../scripts/root.ts";

export interface Stack {
  readonly azurite: Azurite;
  readonly issuer: Issuer;
  readonly hub: HubEmulator;
  readonly host: FunctionsHostProcess;
  /** What the app was started with. */
  readonly settings: Readonly<Record<string, string>>;
  /** What a sender presents. */
  readonly functionKey: string;
  readonly close: () => Promise<void>;
}

export interface StackOptions {
  /** Where data and keys are kept from one start to the next; without it, in memory. */
  readonly directory?: string;
  /** The ports wanted; one that is taken is replaced. Default: free ones. */
  readonly ports?: Partial<Ports>;
  /** Over the stack's own settings. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Takes every line that the app and its host write. */
  readonly onLine?: (line: string) => void;
}

export interface Ports {
  readonly azurite: number;
  readonly issuer: number;
  readonly hub: number;
  readonly host: number;
}

/** Starts all of it; what has been started is ended again when a part does not start. */
export async function createStack({ directory, ports, settings, onLine }: StackOptions = {}): Promise<Stack> {
  const started: (() => Promise<void>)[] = [];
  // The last one first: the app before what it talks to.
  const close = async () => {
    for (const end of started.splice(0).toReversed()) await end();
  };
  const keep = <T extends { readonly close: () => Promise<void> }>(part: T): T => {
    started.push(part.close);
    return part;
  };
  try {
    if (directory !== undefined) await mkdir(directory, { recursive: true, mode: 0o700 });
    const inDirectory = (name: string) =>
      directory === undefined ? {} : { directory: join(directory, name) };
    const secrets = await readSecrets(directory);
    const azurite = keep(
      await createAzurite({
        port: ports?.azurite,
        ...inDirectory("azurite"),
      }),
    );
    const issuer = keep(
      await createIssuer({
        port: ports?.issuer,
        ...(secrets.signingKey === undefined ? {} : { signingKey: secrets.signingKey }),
      }),
    );
    const hub = keep(
      await startOnPort(ports?.hub, (port) => createHubEmulator({ port, ...inDirectory("hub") })),
    );
    if (secrets.signingKey === undefined && directory !== undefined)
      await writeSecrets(directory, { ...secrets, signingKey: issuer.signingKey });
    const all = {
      STORAGE_CONNECTION_STRING: azurite.connectionString,
      NOTIFICATION_HUB_CONNECTION_STRING: hub.connectionString,
      NOTIFICATION_HUB_NAME: hub.hubName,
      AUTH_ISSUER: issuer.url,
      AUTH_AUDIENCE: issuer.audience,
      PAYLOAD_LOCAL_KEK: secrets.localKek,
      ALLOW_LOOPBACK: "true",
      ...settings,
    };
    const host = keep(
      await startOnPort(ports?.host, (port) =>
        startFunctionsHostProcess({
          appDirectory: root,
          port,
          settings: all,
          keys: { default: secrets.functionKey },
          cors: { origins: ["*"] },
          ...(onLine === undefined ? {} : { onLine }),
        }),
      ),
    );
    return { azurite, issuer, hub, host, settings: all, functionKey: secrets.functionKey, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Kept so that yesterday's payloads open, and yesterday's curl lines work. */
interface Secrets {
  readonly localKek: string;
  readonly functionKey: string;
  readonly signingKey?: Readonly<Record<string, unknown>>;
}

async function readSecrets(directory: string | undefined): Promise<Secrets> {
  if (directory !== undefined)
    try {
      return JSON.parse(await readFile(toSecretsPath(directory), "utf8")) as Secrets; // written by ourselves
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  return {
    localKek: randomBytes(32).toString("base64"),
    functionKey: randomBytes(24).toString("base64url"),
  };
}

async function writeSecrets(directory: string, secrets: Secrets): Promise<void> {
  const path = toSecretsPath(directory);
  await writeFile(`${path}.new`, JSON.stringify(secrets, undefined, 2), { mode: 0o600 });
  await rename(`${path}.new`, path); // whole, or not at all
}

function toSecretsPath(directory: string): string {
  return join(directory, "secrets.json");
}
