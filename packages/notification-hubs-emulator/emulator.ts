// An Azure Notification Hub on this machine: the data-plane REST protocol as `@azure/notification-hubs` speaks it,
// over plain HTTP on 127.0.0.1. Nothing is pushed anywhere; what would have been is in `deliveries`, and for people
// under /$inspect/deliveries and /$inspect/installations.
// Served: installations (PUT, GET, PATCH, DELETE); sends to tags, direct, batch, test and scheduled; telemetry
// (operations.ts has the list). Not served, and answered 501: registrations, jobs, feedback.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { err, type Result } from "../../shared/base/result.ts";
import { createFaultQueue, type Fault, type FaultAnswer, type FaultTarget } from "./faults.ts";
import { createHub, type Delivery } from "./hub.ts";
import { MAX_BODY_BYTES, parseTarget, readBody, type Target, toHeader, writeAnswer } from "./http.ts";
import { type StoredInstallation, toInstallationView } from "./installation.ts";
import { createInstallationStore } from "./installationStore.ts";
import { findOperation, type HubCall } from "./operations.ts";
import type { PushOutcomeName } from "./pushService.ts";
import { type Answer, type Refusal, type RefusalReason, toRefusedAnswer } from "./refusal.ts";
import { createDefaultRules, type HubRule, verifySas } from "./sas.ts";
import { createStateFile } from "./stateFile.ts";

export type { Delivery } from "./hub.ts";

export interface HubEmulatorOptions {
  /** Default: a free one. */
  readonly port?: number;
  readonly hubName?: string;
  readonly now?: () => Date;
  /** Default: those of a new hub and ListenAndSend, with random keys unless `directory` has kept them. */
  readonly rules?: readonly HubRule[];
  /** Default: a send without tags and handle is refused, where the service would push to everybody. */
  readonly allowBroadcast?: boolean;
  readonly tier?: "Free" | "Basic" | "Standard";
  /** `manual`: sends to tags see installations as they were at the last `makeVisible`. */
  readonly visibility?: "immediate" | "manual";
  /** Where installations and rules are kept across restarts; without it, in memory. */
  readonly directory?: string;
}

/** One request as its bytes came in, and what became of it. */
interface ReceivedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** Names and values in turn, as sent. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** Absent until it is answered. */
  readonly status?: number;
  /** Why the emulator refused it. */
  readonly refusal?: RefusalReason;
  /** The tag is the word "undefined": a caller's mistake that the service takes for a tag which nobody has. */
  readonly hasUndefinedTag?: boolean;
}

export interface HubEmulator {
  /** With a slash at the end. */
  readonly url: string;
  readonly hubName: string;
  /** With the rule that may listen and send. */
  readonly connectionString: string;
  /** @throws Error for a rule that the hub does not have. */
  readonly connectionStringOf: (ruleName: string) => string;
  /** The usual one by way of a proxy on this port, which from then on is the hub's own to whoever signs for it. */
  readonly connectionStringVia: (proxyPort: number) => string;
  /** Every request but those for /$inspect. */
  readonly requests: readonly ReceivedRequest[];
  readonly deliveries: readonly Delivery[];
  readonly installations: () => readonly StoredInstallation[];
  readonly fail: (fault: Fault) => void;
  readonly clearFaults: () => void;
  readonly makeVisible: () => void;
  readonly onDelivery: (listener: (delivery: Delivery) => void) => () => void;
  /** What pushes to this channel come to from now on; only `Success` is delivered. */
  readonly setOutcome: (pushChannel: string, outcome: PushOutcomeName) => void;
  /** Forgets everything but rules and listeners. */
  readonly clear: () => void;
  /** Also ends the connections that hang. */
  readonly close: () => Promise<void>;
}

/** Listed by the public API description. */
const API_VERSIONS: readonly string[] = ["2015-01", "2015-04", "2015-08", "2016-07", "2020-06"];
const MAX_TEST_SENDS_PER_MINUTE = 10;
const KEEP_ALIVE_MS = 120_000;

export async function createHubEmulator(options: HubEmulatorOptions = {}): Promise<HubEmulator> {
  const { hubName = "local-hub", now = () => new Date(), visibility = "immediate" } = options;
  if (!/^[A-Za-z][A-Za-z0-9._-]*$/.test(hubName)) throw new Error("not a hub's name");
  const file = options.directory === undefined ? undefined : createStateFile(options.directory);
  const kept = await file?.read();
  const rules = options.rules ?? kept?.rules ?? createDefaultRules();
  const usual = findUsualRule(rules);
  const installations = createInstallationStore({ initial: kept?.installations ?? [], visibility, now });
  const hub = createHub(installations, now);
  let saving: Promise<void> | undefined;
  const save = () => (saving = file?.save(() => ({ rules, installations: installations.list() })));
  await save();

  const faults = createFaultQueue();
  const requests: { -readonly [K in keyof ReceivedRequest]: ReceivedRequest[K] }[] = [];
  const delays = new Set<NodeJS.Timeout>();
  let testSentAtMs: readonly number[] = [];

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      // A caller that went away is none of our business; anything else is a bug and should be seen.
      if (request.destroyed && !request.complete) return;
      console.error("hub emulator:", error);
      if (!response.headersSent) refuse(response, randomUUID(), { reason: "failed" });
    });
  });
  // Longer than any test pauses: a connection closed as it is used again would look like a fault.
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const url = `http://127.0.0.1:${address.port}/`;
  const hosts = toHosts(address.port);

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const { method = "GET", url: path = "/", rawHeaders } = request;
    const target = parseTarget(path);
    if (target?.segments[0] === "$inspect") return inspect(request, response, target.segments);
    const received: (typeof requests)[number] = { method, path, rawHeaders, body };
    requests.push(received);
    if (request.headers["servicebusnotification-tags"] === "undefined") received.hasUndefinedTag = true;
    const trackingId = randomUUID();
    const fault = faults.take(toFaultTarget(method, target?.segments[1]));
    if (fault === "hang") return;
    if (fault === "reset") return void request.socket.resetAndDestroy();
    let answer: Answer;
    if (isFixed(fault)) answer = fault;
    else {
      hub.pushDue();
      const result = await handle(request, body, target, trackingId);
      if (!result.ok) received.refusal = result.error.reason;
      answer = result.ok ? result.value : toRefusedAnswer(result.error, trackingId, now());
    }
    if (fault === "resetAfter") return void request.socket.resetAndDestroy();
    const finish = () => {
      received.status = answer.status;
      writeAnswer(response, trackingId, answer);
    };
    if (fault === undefined || isFixed(fault)) return finish();
    const delay = setTimeout(() => {
      delays.delete(delay);
      finish();
    }, fault.delayMs);
    delays.add(delay);
  }

  async function handle(
    request: IncomingMessage,
    body: Buffer,
    target: Target | undefined,
    trackingId: string,
  ): Promise<Result<Answer, Refusal>> {
    if (target === undefined) return err({ reason: "path_invalid" });
    const { segments, query } = target;
    if (segments[0]?.toLowerCase() !== hubName.toLowerCase()) return err({ reason: "hub_unknown" });
    const header = (name: string) => toHeader(request.headers[name]);
    const rule = verifySas({ authorization: header("authorization"), rules, hosts, segments, now: now() });
    if (!rule.ok) return rule;
    const version = query.get("api-version") ?? "";
    if (!API_VERSIONS.includes(version))
      return err({
        reason: "api_version_unsupported",
        detail: `The api-version '${version}' is not supported. Supported are ${API_VERSIONS.join(", ")}.`,
      });
    const found = findOperation(request.method ?? "GET", segments.slice(1));
    if (!found.ok) return found;
    const { operation, id } = found.value;
    if (!rule.value.rights.includes(operation.right))
      return err(
        version === "2020-06"
          ? { reason: "right_missing" }
          : {
              reason: "right_missing_older",
              detail: `${operation.right} claim is required for this operation.`,
            },
      );
    if (body.length > MAX_BODY_BYTES) return err({ reason: "request_too_large" });
    const call: HubCall = {
      hub,
      id,
      query,
      header,
      body,
      trackingId,
      tier: options.tier ?? "Standard",
      allowBroadcast: options.allowBroadcast ?? false,
      hubUrl: `${url}${hubName}`,
      headerNames: Object.keys(request.headers),
      now: now(),
      limitTestSends,
    };
    const result = operation.handle(call);
    if (operation.isWrite === true && result.ok) await save();
    return result;
  }

  function limitTestSends(): number | undefined {
    const nowMs = now().getTime();
    testSentAtMs = testSentAtMs.filter((atMs) => nowMs - atMs < 60_000);
    const [oldest] = testSentAtMs;
    if (oldest !== undefined && testSentAtMs.length >= MAX_TEST_SENDS_PER_MINUTE)
      return Math.ceil((oldest + 60_000 - nowMs) / 1000);
    testSentAtMs = [...testSentAtMs, nowMs];
    return undefined;
  }

  /** For people on this machine. The host is checked so that no web page gets here by a name of its own. */
  function inspect(request: IncomingMessage, response: ServerResponse, segments: readonly string[]): void {
    const shown = new Map<string | undefined, () => readonly object[]>([
      ["deliveries", () => hub.deliveries],
      ["installations", () => installations.list().map(toInstallationView)],
    ]).get(segments[1]);
    if (request.method !== "GET" || shown === undefined || !hosts.includes(request.headers.host ?? ""))
      return refuse(response, randomUUID(), { reason: "path_unknown" });
    writeAnswer(response, randomUUID(), {
      status: 200,
      headers: { "Content-Type": "application/json; charset=utf-8" },
      body: `${JSON.stringify(shown(), null, 2)}\n`,
    });
  }

  function refuse(response: ServerResponse, trackingId: string, refusal: Refusal): void {
    writeAnswer(response, trackingId, toRefusedAnswer(refusal, trackingId, now()));
  }

  const toConnectionString = (ruleName: string, endpoint: string) => {
    const rule = rules.find(({ name }) => name === ruleName);
    if (rule === undefined) throw new Error(`the hub has no rule ${ruleName}`);
    return `Endpoint=${endpoint};SharedAccessKeyName=${rule.name};SharedAccessKey=${rule.primaryKey}`;
  };

  return {
    url,
    hubName,
    connectionString: toConnectionString(usual, url),
    connectionStringOf: (ruleName) => toConnectionString(ruleName, url),
    connectionStringVia: (proxyPort) => {
      hosts.push(...toHosts(proxyPort));
      return toConnectionString(usual, `http://127.0.0.1:${proxyPort}/`);
    },
    requests,
    deliveries: hub.deliveries,
    installations: installations.list,
    fail: faults.add,
    clearFaults: faults.clear,
    makeVisible: installations.makeVisible,
    onDelivery: hub.onDelivery,
    setOutcome: hub.setOutcome,
    clear: () => {
      hub.clear();
      faults.clear();
      requests.length = 0;
      testSentAtMs = [];
      // Should it fail, then `close` says so.
      save()?.catch(() => undefined);
    },
    close: async () => {
      hub.close();
      for (const delay of delays) clearTimeout(delay);
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
      await saving;
    },
  };
}

function toHosts(port: number): string[] {
  return [`127.0.0.1:${port}`, `localhost:${port}`];
}

/** A service needs Listen and Send, and should have no more. */
function findUsualRule(rules: readonly HubRule[]): string {
  const able = rules.filter(({ rights }) => rights.includes("Listen") && rights.includes("Send"));
  const usual = able.find(({ rights }) => !rights.includes("Manage")) ?? able[0];
  if (usual === undefined) throw new Error("no rule of the hub may both listen and send");
  return usual.name;
}

function toFaultTarget(method: string, segment: string | undefined): FaultTarget {
  const name = segment?.toLowerCase();
  if (name === "installations") return "installation";
  const isSend = method === "POST" && (name === "messages" || name === "schedulednotifications");
  return isSend ? "send" : "any";
}

function isFixed(fault: FaultAnswer | undefined): fault is Extract<FaultAnswer, { status: number }> {
  return typeof fault === "object" && "status" in fault;
}
