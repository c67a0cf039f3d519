// What the app talks to, on this machine: Table Storage (Azurite), an issuer of tokens, a notification hub, a Web Push
// service and an MPNS endpoint. The same services serve `npm start` (stack.ts) and the Core Tools (startFunc.ts).
// To add a service: start it in createServices, report it with onPart, and add what the app needs to `settings`.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createHubEmulator, type HubEmulator } from "../packages/notification-hubs-emulator/emulator.ts";
import { type Azurite, createAzurite } from "./azurite.ts";
import { createClosing } from "./closing.ts";
import { createIssuer, type Issuer } from "./issuer.ts";
import { createMpnsEndpoint, type MpnsEndpoint } from "./mpnsEndpoint.ts";
import { startOnPort } from "./port.ts";
import { readSecrets, writeSecrets } from "./secrets.ts";
import { createWebPushService, type WebPushService } from "./webPushService.ts";

export interface Services {
  readonly azurite: Azurite;
  readonly issuer: Issuer;
  readonly hub: HubEmulator;
  readonly webPush: WebPushService;
  readonly mpns: MpnsEndpoint;
  /** The app's settings. */
  readonly settings: Readonly<Record<string, string>>;
  /** What a sender presents. */
  readonly functionKey: string;
  readonly close: () => Promise<void>;
}

/** A part that has started. */
export interface Part {
  readonly name: string;
  readonly url: string;
  /** The port that was asked for, when something else listens on it. */
  readonly takenPort?: number;
  /** What the user should know about the other port. */
  readonly note?: string;
}

/** The ports that are wanted. */
export interface ServicePorts {
  readonly azurite: number;
  readonly issuer: number;
  readonly hub: number;
}

export interface ServicesOptions {
  /** Where data and keys are kept from one start to the next; without it, in memory. */
  readonly directory?: string;
  /** A port that is taken is replaced. Default: free ones. */
  readonly ports?: Partial<ServicePorts>;
  /** Called with each part as soon as it has started. */
  readonly onPart?: (part: Part) => void;
  /** Called with a sentence for the user when a part failed, and when it works again. */
  readonly onTrouble?: (sentence: string) => void;
}

/** Starts all services. If one does not start, those before it are ended again. */
export async function createServices(options: ServicesOptions = {}): Promise<Services> {
  const { directory, ports = {}, onPart = () => undefined } = options;
  const { keep, close } = createClosing();
  try {
    if (directory !== undefined) await mkdir(directory, { recursive: true, mode: 0o700 });
    const inDirectory = (name: string) =>
      directory === undefined ? {} : { directory: join(directory, name) };
    const secrets = await readSecrets(directory);

    const azurite = keep(
      await createAzurite({
        port: ports.azurite,
        ...inDirectory("azurite"),
        ...(options.onTrouble === undefined ? {} : { onTrouble: options.onTrouble }),
      }),
    );
    onPart(toPart("Table Storage", azurite.url, ports.azurite));
    const { signingKey } = secrets;
    const issuer = keep(
      await createIssuer({ port: ports.issuer, ...(signingKey === undefined ? {} : { signingKey }) }),
    );
    onPart({
      ...toPart("Token issuer", issuer.url, ports.issuer),
      note: "tokens of earlier starts fail now",
    });
    const hub = keep(
      await startOnPort(ports.hub, (port) => createHubEmulator({ port, ...inDirectory("hub") })),
    );
    onPart(toPart("Notification Hub", hub.url, ports.hub));
    const webPush = keep(await createWebPushService(inDirectory("webPush")));
    onPart(toPart("Web Push service", webPush.origin, undefined));
    const mpns = keep(await createMpnsEndpoint(inDirectory("mpns")));
    onPart(toPart("MPNS endpoint", mpns.origin, undefined));

    if (signingKey === undefined && directory !== undefined)
      await writeSecrets(directory, { ...secrets, signingKey: issuer.signingKey });
    const settings = {
      STORAGE_CONNECTION_STRING: azurite.connectionString,
      NOTIFICATION_HUB_CONNECTION_STRING: hub.connectionString,
      NOTIFICATION_HUB_NAME: hub.hubName,
      AUTH_ISSUER: issuer.url,
      AUTH_AUDIENCE: issuer.audience,
      PAYLOAD_LOCAL_KEK: secrets.localKek,
      ALLOW_LOOPBACK: "true",
      ...webPush.settings,
      ...mpns.settings,
    };
    return { azurite, issuer, hub, webPush, mpns, settings, functionKey: secrets.functionKey, close };
  } catch (error) {
    await close();
    throw error;
  }
}

export function toPart(name: string, url: string, wanted: number | undefined): Part {
  const isOther = wanted !== undefined && new URL(url).port !== String(wanted);
  return { name, url: new URL(url).origin, ...(isOther ? { takenPort: wanted } : {}) };
}
