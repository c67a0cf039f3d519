// An Azure Notification Hub on this machine: the data-plane REST protocol as `@azure/notification-hubs` speaks it, over
// plain HTTP on 127.0.0.1. Nothing is pushed anywhere: `deliveries` holds the pushes, and people can read them under
// /$inspect/deliveries and /$inspect/installations.
// Served: installations (PUT, GET, PATCH, DELETE); sends to tags, direct, batch, test and scheduled; telemetry
// (operations.ts has the list). Answered with 501: registrations, jobs, feedback.
import { once } from "node:events";
import type { Server } from "node:http";
import { createFaultQueue, type Fault } from "./faults.ts";
import { createHub } from "./hub.ts";
import type { StoredInstallation } from "./installation.ts";
import { createInstallationStore } from "./installationStore.ts";
import type { Delivery } from "./pusher.ts";
import type { PushOutcomeName } from "./pushService.ts";
import { createDefaultRules, type HubRule } from "./sas.ts";
import { type Emulation, type ReceivedRequest, startServer } from "./server.ts";
import { createStateFile } from "./stateFile.ts";

export type { Delivery } from "./pusher.ts";

export interface HubEmulatorOptions {
  /** Default: a free one. */
  readonly port?: number;
  readonly hubName?: string;
  readonly now?: () => Date;
  /** Default: the rules of a new hub and ListenAndSend. Their keys are random, or those kept in `directory`. */
  readonly rules?: readonly HubRule[];
  /** Default: a send without tags and handle is refused. The service would push it to everybody. */
  readonly allowBroadcast?: boolean;
  readonly tier?: "Free" | "Basic" | "Standard";
  /** `manual`: sends to tags see the installations as they were at the last `makeVisible`. */
  readonly visibility?: "immediate" | "manual";
  /** Where installations and rules are kept across restarts; without it, in memory. */
  readonly directory?: string;
}

export interface HubEmulator {
  /** With a slash at the end. */
  readonly url: string;
  readonly hubName: string;
  /** With the rule that may listen and send. */
  readonly connectionString: string;
  /** @throws Error for a rule that the hub does not have. */
  readonly connectionStringOf: (ruleName: string) => string;
  /** Like `connectionString`, through a proxy on this port. Tokens signed for the proxy's address are accepted. */
  readonly connectionStringVia: (proxyPort: number) => string;
  /** Every request but those for /$inspect. */
  readonly requests: readonly ReceivedRequest[];
  readonly deliveries: readonly Delivery[];
  readonly installations: () => readonly StoredInstallation[];
  readonly fail: (fault: Fault) => void;
  readonly clearFaults: () => void;
  readonly makeVisible: () => void;
  readonly onDelivery: (listener: (delivery: Delivery) => void) => () => void;
  /** The outcome of pushes to this channel from now on. Only `Success` is delivered. */
  readonly setOutcome: (pushChannel: string, outcome: PushOutcomeName) => void;
  /** Forgets everything but rules and listeners. */
  readonly clear: () => void;
  /** Also ends connections that wait for an answer. */
  readonly close: () => Promise<void>;
}

export async function createHubEmulator(options: HubEmulatorOptions = {}): Promise<HubEmulator> {
  const emulation = await createEmulation(options);
  const { server, port } = await startServer(emulation, options.port ?? 0);
  const { hubName, hub, hosts, rules, faults, requests, save } = emulation;
  const url = `http://127.0.0.1:${port}/`;
  hosts.push(...toHosts(port));
  const usual = findUsualRule(rules);
  return {
    url,
    hubName,
    connectionString: toConnectionString(rules, usual, url),
    connectionStringOf: (ruleName) => toConnectionString(rules, ruleName, url),
    connectionStringVia: (proxyPort) => {
      hosts.push(...toHosts(proxyPort));
      return toConnectionString(rules, usual, `http://127.0.0.1:${proxyPort}/`);
    },
    requests,
    deliveries: hub.deliveries,
    installations: hub.installations.list,
    fail: faults.add,
    clearFaults: faults.clear,
    makeVisible: hub.installations.makeVisible,
    onDelivery: hub.onDelivery,
    setOutcome: hub.setOutcome,
    clear: () => {
      hub.clear();
      faults.clear();
      requests.length = 0;
      emulation.testSentAtMs = [];
      save().catch(() => undefined); // `close` reports a failure
    },
    close: () => close(emulation, server),
  };
}

async function createEmulation(options: HubEmulatorOptions): Promise<Emulation> {
  const { hubName = "local-hub", now = () => new Date(), visibility = "immediate" } = options;
  if (!/^[A-Za-z][A-Za-z0-9._-]*$/.test(hubName)) throw new Error("not a hub's name");
  const file = options.directory === undefined ? undefined : createStateFile(options.directory);
  const kept = await file?.read();
  const rules = options.rules ?? kept?.rules ?? createDefaultRules();
  const installations = createInstallationStore({ initial: kept?.installations ?? [], visibility, now });
  const emulation: Emulation = {
    hubName,
    tier: options.tier ?? "Standard",
    allowBroadcast: options.allowBroadcast ?? false,
    now,
    rules,
    hosts: [],
    hub: createHub(installations, now),
    faults: createFaultQueue(),
    requests: [],
    delays: new Set(),
    testSentAtMs: [],
    saving: Promise.resolve(),
    save: () => {
      if (file !== undefined)
        emulation.saving = file.save(() => ({ rules, installations: installations.list() }));
      return emulation.saving;
    },
  };
  await emulation.save();
  return emulation;
}

async function close({ hub, delays, saving }: Emulation, server: Server): Promise<void> {
  hub.close();
  for (const delay of delays) clearTimeout(delay);
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
  await saving;
}

function toConnectionString(rules: readonly HubRule[], ruleName: string, endpoint: string): string {
  const rule = rules.find(({ name }) => name === ruleName);
  if (rule === undefined) throw new Error(`the hub has no rule ${ruleName}`);
  return `Endpoint=${endpoint};SharedAccessKeyName=${rule.name};SharedAccessKey=${rule.primaryKey}`;
}

function toHosts(port: number): readonly string[] {
  return [`127.0.0.1:${port}`, `localhost:${port}`];
}

/** A service needs Listen and Send, and should have no more. */
function findUsualRule(rules: readonly HubRule[]): string {
  const able = rules.filter(({ rights }) => rights.includes("Listen") && rights.includes("Send"));
  const usual = able.find(({ rights }) => !rights.includes("Manage")) ?? able[0];
  if (usual === undefined) throw new Error("no rule of the hub may both listen and send");
  return usual.name;
}
