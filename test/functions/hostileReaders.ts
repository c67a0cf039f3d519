// Everything that reads the text of a caller, given hostile texts. linearTime.test.ts runs each reader in a thread.
import { createSecretKey } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import type { HttpRequest } from "@azure/functions";
import { isJson } from "../../functions/http/body.ts";
import { parseInput } from "../../functions/http/parseInput.ts";
import { checkQuery } from "../../functions/http/query.ts";
import { IdempotencyKey } from "../../functions/sendSecure.ts";
import { parseBearer } from "../../shared/auth/bearer.ts";
import { parseJsonBody } from "../../shared/base/json.ts";
import { parseCursor } from "../../shared/crypto/cursor.ts";
import { toAddress } from "../../shared/devices/pushChannel.ts";
import { NotificationId } from "../../shared/domain/id.ts";
import { InstallationId, InstallationRequest, PLATFORMS } from "../../shared/domain/installation.ts";
import { ListQuery, SendRequest } from "../../shared/domain/notification.ts";
import { toUserId } from "../../shared/domain/userId.ts";

const key = createSecretKey(Buffer.alloc(32));

export const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  "a content type": (text) => [
    isJson(`application/json;${text}`),
    isJson(`application/json;charset=utf-8${text}x`),
    isJson(text),
  ],
  "a bearer token": (text) => [parseBearer(text), parseBearer(`Bearer ${text}`), parseBearer(`x,${text}`)],
  "a body": (text) => [
    parseJsonBody(Buffer.from(text)),
    parseJsonBody(Buffer.from(JSON.stringify({ a: text, [text]: [text, 1] })), "a"),
  ],
  "a send": (text) =>
    parseInput("body_invalid", SendRequest, { to: [text], topic: text, urgency: text, [text]: 1 }),
  "a registration": (text) => [
    ...PLATFORMS.map((platform) =>
      InstallationRequest.safeParse({ platform, pushChannel: text, vapidPublicKey: text }),
    ),
    InstallationRequest.safeParse({
      platform: "browser",
      pushChannel: { endpoint: text, p256dh: text, auth: text },
    }),
  ],
  "the address of a push channel": (text) =>
    URL.canParse(`https://push.example/${text}`) && toAddress("wns", `https://push.example/${text}`),
  "an installation id": (text) => InstallationId.safeParse(text),
  "an ID": (text) => NotificationId.safeParse(text),
  "a user id": (text) => toUserId(text),
  "a query": (text) => [
    checkQuery({ url: `http://a/?${encodeURIComponent(text)}` } as HttpRequest, new Set(["a"])),
    ListQuery.safeParse({ unread: text, limit: text, cursor: text }),
    parseCursor(key, ["a"], text),
  ],
  "an idempotency key": (text) => IdempotencyKey.safeParse(text),
};

/** Far longer than any limit of the service lets through. Half as long texts of two characters. */
const LENGTH = 200_000;

/** Texts that make a backtracking pattern try every way to divide them between its repetitions. */
function createTexts(): readonly string[] {
  const parts = [
    " ",
    "a",
    "0a",
    "a/",
    "%41",
    "-",
    ".",
    "a.",
    ",",
    ", ",
    '"',
    "/",
    ";",
    "; ",
    "=",
    "\\",
    "[",
    "{",
  ];
  const texts = parts.map((part) => part.repeat(LENGTH / part.length));
  return texts.flatMap((text) => [text, `${text}!`, `https://${text}`]);
}

const { reader } = (workerData ?? {}) as { readonly reader?: string };
if (reader !== undefined) {
  const texts = createTexts();
  for (const text of texts) READERS[reader]?.(text);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(texts.length);
}
