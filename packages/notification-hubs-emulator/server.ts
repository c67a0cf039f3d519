// The emulator's HTTP server: each request is recorded, may meet a fault that a test has ordered, and is answered by its
// operation (operations.ts).
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { FaultAnswer, FaultQueue, FaultTarget } from "./faults.ts";
import type { Hub } from "./hub.ts";
import { MAX_BODY_BYTES, parseTarget, readBody, type Target, toHeader, writeAnswer } from "./http.ts";
import { toInstallationView } from "./installation.ts";
import { findOperation, type HubCall } from "./operations.ts";
import { type Answer, type Refusal, type RefusalReason, toRefusedAnswer } from "./refusal.ts";
import { err, type Result } from "./result.ts";
import { type HubRule, verifySas } from "./sas.ts";

/** One request as its bytes arrived, and its result. */
export interface ReceivedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** Names and values in turn, as sent. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** Absent until the request is answered. */
  readonly status?: number;
  /** Why the emulator refused it. */
  readonly refusal?: RefusalReason;
  /** The tag is the word "undefined": a mistake of the caller, which the service takes for a tag that nobody has. */
  readonly hasUndefinedTag?: boolean;
}

/** What one emulated hub consists of. */
export interface Emulation {
  readonly hubName: string;
  readonly tier: "Free" | "Basic" | "Standard";
  readonly allowBroadcast: boolean;
  readonly now: () => Date;
  readonly rules: readonly HubRule[];
  /** The `host:port` names of this hub. */
  readonly hosts: string[];
  readonly hub: Hub;
  readonly faults: FaultQueue;
  readonly requests: Recorded[];
  /** Answers that a fault delays. */
  readonly delays: Set<NodeJS.Timeout>;
  /** The test sends of the last minute. */
  testSentAtMs: readonly number[];
  /** The save that is going on, or the last one. */
  saving: Promise<void>;
  /** Resolves when rules and installations are on disk; at once if they are kept in memory. */
  readonly save: () => Promise<void>;
}

type Recorded = { -readonly [K in keyof ReceivedRequest]: ReceivedRequest[K] };

/** Listed by the public API description, and 2017-04, which versions of .NET send (§19). */
const API_VERSIONS: readonly string[] = ["2015-01", "2015-04", "2015-08", "2016-07", "2017-04", "2020-06"];
const MAX_TEST_SENDS_PER_MINUTE = 10;
/** Longer than the pauses of a test. A connection that is closed just when it is used again would look like a fault. */
const KEEP_ALIVE_MS = 120_000;

/** Listens on 127.0.0.1; port 0 is a free one. */
export async function startServer(
  emulation: Emulation,
  port: number,
): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((request, response) => {
    serve(emulation, request, response).catch((error: unknown) => {
      // A caller that went away is no failure. Anything else is a bug of the emulator.
      if (request.destroyed && !request.complete) return;
      console.error("hub emulator:", error);
      if (!response.headersSent) refuse(emulation, response, { reason: "failed" });
    });
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { server, port: address.port };
}

async function serve(
  emulation: Emulation,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readBody(request);
  const { method = "GET", url: path = "/", rawHeaders } = request;
  const target = parseTarget(path);
  if (target?.segments[0] === "$inspect") return inspect(emulation, request, response, target.segments);
  const received: Recorded = { method, path, rawHeaders, body };
  emulation.requests.push(received);
  if (request.headers["servicebusnotification-tags"] === "undefined") received.hasUndefinedTag = true;
  const trackingId = randomUUID();
  const fault = emulation.faults.take(toFaultTarget(method, target?.segments[1]));
  if (fault === "hang") return;
  if (fault === "reset") return void request.socket.resetAndDestroy();
  const answer = isFixed(fault)
    ? fault
    : await toAnswer(emulation, { request, body, target, trackingId }, received);
  if (fault === "resetAfter") return void request.socket.resetAndDestroy();
  const finish = () => {
    received.status = answer.status;
    writeAnswer(response, trackingId, answer);
  };
  if (fault === undefined || isFixed(fault)) return finish();
  const delay = setTimeout(() => {
    emulation.delays.delete(delay);
    finish();
  }, fault.delayMs);
  emulation.delays.add(delay);
}

interface Call {
  readonly request: IncomingMessage;
  readonly body: Buffer;
  /** Undefined: the path cannot be parsed. */
  readonly target: Target | undefined;
  readonly trackingId: string;
}

async function toAnswer(emulation: Emulation, call: Call, received: Recorded): Promise<Answer> {
  emulation.hub.pushDue();
  const result = await handle(emulation, call);
  if (result.ok) return result.value;
  received.refusal = result.error.reason;
  return toRefusedAnswer(result.error, call.trackingId, emulation.now());
}

async function handle(emulation: Emulation, call: Call): Promise<Result<Answer, Refusal>> {
  const { hubName, hub, rules, hosts, now } = emulation;
  const { request, body, target, trackingId } = call;
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
  if (!rule.value.rights.includes(operation.right)) return err(toMissingRight(version, operation.right));
  if (body.length > MAX_BODY_BYTES) return err({ reason: "request_too_large" });
  const hubCall: HubCall = {
    hub,
    id,
    query,
    header,
    body,
    trackingId,
    tier: emulation.tier,
    allowBroadcast: emulation.allowBroadcast,
    hubUrl: `http://${hosts[0]}/${hubName}`,
    headerNames: Object.keys(request.headers),
    now: now(),
    limitTestSends: () => limitTestSends(emulation),
  };
  const result = operation.handle(hubCall);
  if (operation.isWrite === true && result.ok) await emulation.save();
  return result;
}

function toMissingRight(version: string, right: string): Refusal {
  return version === "2020-06"
    ? { reason: "right_missing" }
    : { reason: "right_missing_older", detail: `${right} claim is required for this operation.` };
}

/** Counts a test send. Returns the seconds to wait if there were too many. */
function limitTestSends(emulation: Emulation): number | undefined {
  const nowMs = emulation.now().getTime();
  emulation.testSentAtMs = emulation.testSentAtMs.filter((atMs) => nowMs - atMs < 60_000);
  const [oldest] = emulation.testSentAtMs;
  if (oldest !== undefined && emulation.testSentAtMs.length >= MAX_TEST_SENDS_PER_MINUTE)
    return Math.ceil((oldest + 60_000 - nowMs) / 1000);
  emulation.testSentAtMs = [...emulation.testSentAtMs, nowMs];
  return undefined;
}

/** For people on this machine. The Host header is checked, so that no web page reads it through a DNS name of its own. */
function inspect(
  emulation: Emulation,
  request: IncomingMessage,
  response: ServerResponse,
  segments: readonly string[],
): void {
  const shown = new Map<string | undefined, () => readonly object[]>([
    ["deliveries", () => emulation.hub.deliveries],
    ["installations", () => emulation.hub.installations.list().map(toInstallationView)],
  ]).get(segments[1]);
  if (
    request.method !== "GET" ||
    shown === undefined ||
    !emulation.hosts.includes(request.headers.host ?? "")
  )
    return refuse(emulation, response, { reason: "path_unknown" });
  writeAnswer(response, randomUUID(), {
    status: 200,
    headers: { "Content-Type": "application/json; charset=utf-8" },
    body: `${JSON.stringify(shown(), null, 2)}\n`,
  });
}

function refuse({ now }: Emulation, response: ServerResponse, refusal: Refusal): void {
  const trackingId = randomUUID();
  writeAnswer(response, trackingId, toRefusedAnswer(refusal, trackingId, now()));
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
