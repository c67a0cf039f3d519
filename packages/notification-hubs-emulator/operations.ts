// What the emulated hub serves, in one list, and what it knows of but does not serve. No I/O of its own.
import { isDeepStrictEqual } from "node:util";
import { err, ok, type Result } from "./result.ts";
import type { Hub } from "./hub.ts";
import { parseInstallation, toChannel, toInstallationView } from "./installation.ts";
import { applyInstallationPatch } from "./installationPatch.ts";
import { parseJson } from "./json.ts";
import type { Answer, Refusal } from "./refusal.ts";
import type { HubRight } from "./sas.ts";
import { parseSend, type Send, type SendHttpRequest } from "./sendRequest.ts";
import { type SendRecord, toNotificationDetails, toNotificationOutcome } from "./telemetry.ts";

export interface Operation {
  readonly method: string;
  /** Below the hub; `{id}` stands for any one segment. */
  readonly path: string;
  readonly right: HubRight;
  /** Installations change: they are on disk before the answer. */
  readonly isWrite?: true;
  readonly handle: (call: HubCall) => Result<Answer, Refusal>;
}

export interface HubCall extends Omit<SendHttpRequest, "isBatch"> {
  readonly hub: Hub;
  readonly tier: "Free" | "Basic" | "Standard";
  readonly allowBroadcast: boolean;
  /** Of the hub, without a slash at the end. */
  readonly hubUrl: string;
  /** What `{id}` stands for, or nothing. */
  readonly id: string;
  readonly trackingId: string;
  readonly now: Date;
  /** Counts a test send; answers how long to wait when there were too many. */
  readonly limitTestSends: () => number | undefined;
}

const ANY_METHOD = "*";

const operations: readonly Operation[] = [
  { method: "PUT", path: "installations/{id}", right: "Listen", isWrite: true, handle: putInstallation },
  { method: "GET", path: "installations/{id}", right: "Listen", handle: getInstallation },
  { method: "PATCH", path: "installations/{id}", right: "Listen", isWrite: true, handle: patchInstallation },
  {
    method: "DELETE",
    path: "installations/{id}",
    right: "Listen",
    isWrite: true,
    handle: deleteInstallation,
  },
  { method: "POST", path: "messages", right: "Send", handle: (call) => postMessage(call, false) },
  { method: "POST", path: "messages/$batch", right: "Send", handle: (call) => postMessage(call, true) },
  // Not spelled out in the documentation; who sends may ask.
  { method: "GET", path: "messages/{id}", right: "Send", handle: getMessage },
  { method: "POST", path: "schedulednotifications", right: "Send", handle: postScheduled },
  { method: "DELETE", path: "schedulednotifications/{id}", right: "Send", handle: deleteScheduled },
  notServed("registrationids", "Listen"),
  notServed("registrations", "Listen"),
  notServed("registrations/{id}", "Listen"),
  notServed("tags/{id}/registrations", "Manage"),
  notServed("jobs", "Manage"),
  notServed("jobs/{id}", "Manage"),
  notServed("feedbackcontainer", "Manage"),
];

/** It exists in the service, but not here: 501, whatever the method. */
function notServed(path: string, right: HubRight): Operation {
  return { method: ANY_METHOD, path, right, handle: () => err({ reason: "not_served" }) };
}

/** `segments` are those below the hub. Fixed ones compare without case, as clients differ in it. */
export function findOperation(
  method: string,
  segments: readonly string[],
): Result<{ readonly operation: Operation; readonly id: string }, Refusal> {
  const matching = operations.flatMap((operation) => {
    const pattern = operation.path.split("/");
    const matches =
      pattern.length === segments.length &&
      pattern.every((part, i) => part === "{id}" || part === segments[i]?.toLowerCase());
    return matches ? [{ operation, id: segments[pattern.indexOf("{id}")] ?? "" }] : [];
  });
  const found = matching.find(
    ({ operation }) => operation.method === method || operation.method === ANY_METHOD,
  );
  if (found !== undefined) return ok(found);
  return err({ reason: matching.length === 0 ? "path_unknown" : "method_not_allowed" });
}

function putInstallation({ hub, id, body }: HubCall): Result<Answer, Refusal> {
  if (!isEntityId(id)) return err({ reason: "path_invalid" });
  const parsed = parseInstallation(parseJson(body.toString("utf8")), id);
  if (!parsed.ok) return parsed;
  hub.installations.put(parsed.value);
  return ok({ status: 200, headers: XML });
}

function getInstallation({ hub, id }: HubCall): Result<Answer, Refusal> {
  if (!isEntityId(id)) return err({ reason: "path_invalid" });
  const stored = hub.installations.get(id);
  if (stored === undefined) return err({ reason: "installation_unknown" });
  // JSON under XML's name: the service's own habit.
  return ok({ status: 200, headers: XML, body: JSON.stringify(toInstallationView(stored)) });
}

function patchInstallation({ hub, id, body }: HubCall): Result<Answer, Refusal> {
  if (!isEntityId(id)) return err({ reason: "path_invalid" });
  const stored = hub.installations.get(id);
  if (stored === undefined) return err({ reason: "installation_unknown" });
  const patched = applyInstallationPatch(stored, parseJson(body.toString("utf8")));
  if (!patched.ok) return patched;
  const parsed = parseInstallation(patched.value, id);
  if (!parsed.ok) return parsed;
  const isSameChannel = isDeepStrictEqual(toChannel(parsed.value), toChannel(stored));
  hub.installations.put(parsed.value, isSameChannel && stored.pushChannelExpired);
  return ok({ status: 200, headers: XML });
}

/** 204 for an unknown ID too: what the service answers there was not recorded, and it applies deletes later. */
function deleteInstallation({ hub, id }: HubCall): Result<Answer, Refusal> {
  if (!isEntityId(id)) return err({ reason: "path_invalid" });
  hub.installations.remove(id);
  return ok({ status: 204 });
}

const MAX_TEST_DEVICES = 10;

function postMessage(call: HubCall, isBatch: boolean): Result<Answer, Refusal> {
  const { hub, query, trackingId, tier } = call;
  if (isBatch && tier === "Free") return err({ reason: "tier_too_low" });
  const send = parseAllowedSend(call, isBatch);
  if (!send.ok) return send;
  if (!query.has("test")) return ok(toCreated(call, hub.send(send.value, trackingId)));
  const retryAfterSeconds = call.limitTestSends();
  if (retryAfterSeconds !== undefined) return err({ reason: "throttled", retryAfterSeconds });
  const record = hub.send(send.value, trackingId, MAX_TEST_DEVICES);
  const { headers, ...created } = toCreated(call, record);
  return ok({ ...created, headers: { ...headers, ...XML }, body: toNotificationOutcome(record.attempts) });
}

function parseAllowedSend(call: HubCall, isBatch: boolean): Result<Send, Refusal> {
  const send = parseSend({ ...call, isBatch });
  return send.ok && send.value.target.kind === "everybody" && !call.allowBroadcast
    ? err({ reason: "broadcast_refused" })
    : send;
}

function toCreated({ tier, hubUrl }: HubCall, { id }: SendRecord, path = "messages"): Answer {
  // Documented: only the Standard tier tells the message's ID.
  if (tier !== "Standard") return { status: 201 };
  return { status: 201, headers: { Location: `${hubUrl}/${path}/${id}?api-version=2020-06` } };
}

function getMessage({ hub, id, tier, hubUrl }: HubCall): Result<Answer, Refusal> {
  if (tier !== "Standard") return err({ reason: "tier_too_low" });
  const record = hub.findRecord(id);
  if (record === undefined) return err({ reason: "message_unknown" });
  const body = toNotificationDetails(record, `${hubUrl}/messages/${id}`);
  return ok({ status: 200, headers: XML, body });
}

const MAX_SCHEDULE_DAYS = 7;

function postScheduled(call: HubCall): Result<Answer, Refusal> {
  const { hub, query, header, trackingId, tier, now } = call;
  if (tier !== "Standard") return err({ reason: "tier_too_low" });
  const text = header("servicebusnotification-scheduletime") ?? "";
  // Without a zone it is UTC (.NET writes it so).
  const dueAt = new Date(/(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`);
  const isTooLate = dueAt.getTime() - now.getTime() > MAX_SCHEDULE_DAYS * 86_400_000;
  if (Number.isNaN(dueAt.getTime()) || isTooLate) return err({ reason: "schedule_invalid" });
  const send = parseAllowedSend(call, false);
  if (!send.ok) return send;
  if (send.value.target.kind === "devices" || query.has("test"))
    return err({ reason: "send_invalid", detail: "A scheduled send is neither direct nor a test." });
  return ok(toCreated(call, hub.schedule(send.value, trackingId, dueAt), "schedulednotifications"));
}

function deleteScheduled({ hub, id, tier }: HubCall): Result<Answer, Refusal> {
  if (tier !== "Standard") return err({ reason: "tier_too_low" });
  return hub.cancel(id) ? ok({ status: 200 }) : err({ reason: "message_unknown" });
}

const XML = { "Content-Type": "application/xml; charset=utf-8" } as const;

/** What the service allows in a path's segment. */
function isEntityId(id: string): boolean {
  return /^[A-Za-z0-9._-]+$/.test(id);
}
