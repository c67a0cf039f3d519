// What a send asks for (docs/notification-hubs-protocol.md §5, §13): its notification and its target, parsed from the request. No I/O.
import { err, ok, type Result } from "./result.ts";
import type { HubChannel } from "./installation.ts";
import { type JsonObject, parseJson, toObject } from "./json.ts";
import { parseDevices, parseMultipart } from "./multipart.ts";
import { type HubPlatform, platformOfFormat, platforms } from "./platforms.ts";
import type { Refusal } from "./refusal.ts";
import { parseTagExpression, type TagExpression } from "./tags.ts";
import { PROPERTY_NAME } from "./templates.ts";

export interface Send {
  /** As it was received; telemetry shows it. */
  readonly bodyText: string;
  readonly notification:
    | {
        readonly kind: "native";
        readonly platform: HubPlatform;
        readonly contentType: string;
        /** Those for the push service, names in lower case. */
        readonly headers: Readonly<Record<string, string>>;
      }
    | { readonly kind: "template"; readonly properties: Readonly<Record<string, string>> };
  readonly target: SendTarget;
}

type SendTarget =
  | { readonly kind: "everybody" }
  | { readonly kind: "tags"; readonly text: string; readonly expression: TagExpression }
  | { readonly kind: "devices"; readonly channels: readonly HubChannel[] };

export interface SendHttpRequest {
  readonly isBatch: boolean;
  readonly query: URLSearchParams;
  /** The value of a header; `undefined` when it was not sent, which an empty one was. */
  readonly header: (name: string) => string | undefined;
  readonly headerNames: readonly string[];
  readonly body: Buffer;
}

const MAX_REQUEST_BYTES = 65_536;
const MAX_BATCH_DEVICES = 1000;

/** Leaves to the caller whether a target of everybody is allowed. */
export function parseSend(request: SendHttpRequest): Result<Send, Refusal> {
  const content = parseContent(request);
  if (!content.ok) return content;
  const { payload, contentType } = content.value;
  if (payload.length > MAX_REQUEST_BYTES)
    return err({ reason: "request_too_large", detail: "The message is larger than 64 KB." });
  const target = parseTarget(request, content.value.devices);
  if (!target.ok) return target;
  const format = request.header("servicebusnotification-format") ?? "";
  if (format.toLowerCase() === "template") {
    if (target.value.kind === "devices") return invalid("a template has no devices");
    const properties = parseProperties(payload);
    if (properties === undefined) return invalid("the body is not a flat object of string properties");
    return ok({
      bodyText: payload.toString("utf8"),
      notification: { kind: "template", properties },
      target: target.value,
    });
  }
  const platform = platformOfFormat(format);
  if (platform === undefined) return invalid("ServiceBusNotification-Format is missing or unknown");
  const headers = toPushHeaders(platform, request);
  const refusal = findPayloadFault(platform, payload, contentType, headers);
  if (refusal !== undefined) return err(refusal);
  return ok({
    bodyText: payload.toString("utf8"),
    notification: { kind: "native", platform, contentType, headers },
    target: target.value,
  });
}

interface Content {
  readonly payload: Buffer;
  readonly contentType: string;
  /** Of a batch. */
  readonly devices?: readonly string[];
}

function parseContent({ isBatch, header, body }: SendHttpRequest): Result<Content, Refusal> {
  const contentType = header("content-type") ?? "";
  if (!isBatch) return ok({ payload: body, contentType });
  const parts = parseMultipart(contentType, body);
  const notification = parts?.find(({ name }) => name === "notification");
  const devices = parseDevices(parts?.find(({ name }) => name === "devices")?.body);
  if (notification === undefined || devices === undefined)
    return invalid("a batch is multipart with a notification and an array of devices");
  if (devices.length === 0 || devices.length > MAX_BATCH_DEVICES)
    return invalid(`a batch has 1 to ${MAX_BATCH_DEVICES} devices`);
  return ok({ payload: notification.body, contentType: notification.contentType, devices });
}

function parseTarget(
  { isBatch, query, header }: SendHttpRequest,
  devices: readonly string[] | undefined,
): Result<SendTarget, Refusal> {
  const tags = header("servicebusnotification-tags");
  const handle = header("servicebusnotification-devicehandle");
  // Other clients send it without a value.
  const isDirect = query.has("direct");
  if (isBatch !== (devices !== undefined && isDirect)) return invalid("a batch is a direct send");
  if (isDirect || handle !== undefined) {
    if (tags !== undefined) return invalid("a direct send has no tags");
    if (devices !== undefined) return ok({ kind: "devices", channels: devices });
    if (!isDirect || !handle) return invalid("a direct send has both direct=true and a device handle");
    const channel = parseHandle(handle, header);
    if (channel === undefined) return invalid("a direct send to a browser has the headers Auth and P256DH");
    return ok({ kind: "devices", channels: [channel] });
  }
  if (tags === undefined || tags.trim() === "") return ok({ kind: "everybody" });
  const expression = parseTagExpression(tags);
  return expression.ok ? ok({ kind: "tags", text: tags, expression: expression.value }) : expression;
}

function parseHandle(handle: string, header: SendHttpRequest["header"]): HubChannel | undefined {
  if (header("servicebusnotification-format")?.toLowerCase() !== "browser") return handle;
  const auth = header("auth");
  const p256dh = header("p256dh");
  return auth && p256dh ? { endpoint: handle, p256dh, auth } : undefined;
}

function toPushHeaders(
  platform: HubPlatform,
  { headerNames, header }: SendHttpRequest,
): Readonly<Record<string, string>> {
  const passed = platforms[platform].headers;
  const names = headerNames.map((name) => name.toLowerCase()).filter((name) => passed?.test(name) ?? false);
  return Object.fromEntries(names.map((name) => [name, header(name) ?? ""]));
}

function findPayloadFault(
  platform: HubPlatform,
  payload: Buffer,
  contentType: string,
  headers: Readonly<Record<string, string>>,
): Refusal | undefined {
  const limit = platforms[platform].maxPayloadBytes;
  // The service takes it and the push service refuses; here it is said at once.
  if (payload.length > limit)
    return {
      reason: "request_too_large",
      detail: `The payload for ${platform} has ${payload.length} bytes and may have ${limit}.`,
    };
  if (platform === "wns") {
    const type = headers["x-wns-type"];
    if (type === undefined || !/^wns\/(?:toast|tile|badge|raw)$/.test(type))
      return toRefusal("X-WNS-Type is missing or unknown");
    const expected = type === "wns/raw" ? "application/octet-stream" : "application/xml";
    return contentType.toLowerCase().startsWith(expected)
      ? undefined
      : toRefusal(`${type} needs the content type ${expected}`);
  }
  if (platform === "mpns") return undefined;
  const value = parseObject(payload);
  if (value === undefined) return toRefusal("the body is not a JSON object");
  return platform === "fcmv1" ? findFcmFault(value) : undefined;
}

/** Firebase's own rules; the hub fills in message.token. */
function findFcmFault(value: JsonObject): Refusal | undefined {
  const message = toObject(value["message"]);
  if (message === undefined || Object.keys(value).length !== 1)
    return toRefusal('the body is not {"message":{…}}');
  if (message["data"] === undefined) return undefined;
  const data = toObject(message["data"]);
  return data !== undefined && Object.values(data).every((member) => typeof member === "string")
    ? undefined
    : toRefusal("message.data is not a flat map of strings");
}

function parseProperties(body: Buffer): Readonly<Record<string, string>> | undefined {
  const value = parseObject(body);
  if (value === undefined) return undefined;
  const entries = Object.entries(value).flatMap(([name, member]) =>
    PROPERTY_NAME.test(name) && typeof member === "string" ? [[name, member] as const] : [],
  );
  return entries.length === Object.keys(value).length ? Object.fromEntries(entries) : undefined;
}

function parseObject(body: Buffer): JsonObject | undefined {
  return toObject(parseJson(body.toString("utf8")));
}

function toRefusal(why: string): Refusal {
  return { reason: "send_invalid", detail: `The notification is invalid: ${why}.` };
}

function invalid(why: string): Result<never, Refusal> {
  return err(toRefusal(why));
}
