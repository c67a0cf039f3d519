// sendSecure: a back end sends a notification.
import type { HttpRequest } from "@azure/functions";
import * as z from "zod";
import type { Limits, AlertText } from "../shared/config/config.ts";
import { MAX_WRITTEN_BYTES } from "../shared/domain/limits.ts";
import { SendRequest } from "../shared/domain/notification.ts";
import type { Failure } from "../shared/problem.ts";
import { err, ok, type Result } from "../shared/base/result.ts";
import { Secret } from "../shared/base/secret.ts";
import type { Service } from "../shared/service.ts";
import { type Answers, answers } from "./http/answers.ts";
import { readJson } from "./http/body.ts";
import type { Description } from "./http/description.ts";
import { parseInput } from "./http/parseInput.ts";
import { answerJson, type Call, type Handled } from "./http/handler.ts";

/** The bytes that a body may have beside the payload: recipients, names, white space. */
const ENVELOPE_BYTES = 64 * 1024;

/**
 * With or without the quotes of a structured field (draft-ietf-httpapi-idempotency-key-header §2.1, R77). No comma: two
 * header lines arrive joined by one. No quote inside: it would give one key two spellings.
 */
export const IdempotencyKey = z
  .string()
  .regex(/^(?:[!#-+\--~]{1,255}|"[!#-+\--~]{1,255}")$/)
  .transform((text) => text.replaceAll('"', ""));

export function sendSecure(
  service: Service,
  maxPayloadBytes: number,
): (call: Call, sender: Secret<string>) => Handled {
  return async ({ request, context }, sender) => {
    const body = await readJson(request, maxPayloadBytes + ENVELOPE_BYTES, context.signal, "payload");
    if (!body.ok) return body;
    const parsed = parseInput("body_invalid", SendRequest, body.value.value);
    if (!parsed.ok) return parsed;
    if (body.value.source === undefined)
      return err({ reason: "body_invalid", detail: "payload: is missing" });
    const key = parseIdempotencyKey(request);
    if (!key.ok) return key;
    const sent = await service.send(
      {
        request: parsed.value,
        payload: new Secret(body.value.source),
        ...(key.value === undefined ? {} : { idempotency: { sender, key: key.value } }),
      },
      context,
    );
    if (!sent.ok) return sent;
    const { id, createdAt, expiresAt, push } = sent.value;
    return answerJson(
      push === "pending" ? 202 : 201,
      {
        id,
        createdAt: createdAt.toISOString(),
        expiresAt: expiresAt.toISOString(),
        push,
      } satisfies Answers["Sent"],
      { location: `/api/notifications/${id}` },
    );
  };
}

function parseIdempotencyKey({ headers }: HttpRequest): Result<string | undefined, Failure> {
  const text = headers.get("idempotency-key");
  if (text === null) return ok(undefined);
  const key = IdempotencyKey.safeParse(text);
  return key.success ? ok(key.data) : err({ reason: "idempotency_key_invalid" });
}

/** Bodies, by name. */
const EXAMPLES = {
  oneUser: { to: ["alice"], payload: { balance: 12.5 } },
  allMembers: {
    to: ["alice", "bob"],
    payload: "Your code is 123 456.",
    ttl: 300,
    urgency: "high",
    topic: "code",
    display: "alert",
  },
};

const EXAMPLE_ANSWER = {
  id: "0N9DZXE61WXQHCZ2TVW7RBD5NK1FH8A4",
  createdAt: "2026-11-25T08:30:00.000Z",
  expiresAt: "2026-12-02T08:30:00.000Z",
};

const LOCATION = {
  description: "Where a recipient's device fetches the payload.",
  schema: z.string().regex(/^\/api\/notifications\/[0-9A-Z]{32}$/),
};

export function describeSendSecure(
  { maxPayloadBytes, defaultTtlSeconds, requireIdempotencyKey }: Limits,
  { defaultDisplay }: AlertText,
): Description {
  return {
    summary: "Send a notification",
    description:
      "Encrypts and stores the payload for every recipient, and pushes its ID, and nothing else, to their devices. " +
      `Here a payload has at most ${maxPayloadBytes} bytes of UTF-8, counted in the text of the body, and the ` +
      `payload's bytes times the recipients are at most ${MAX_WRITTEN_BYTES}. Default \`ttl\`: ` +
      `${defaultTtlSeconds} seconds. Default \`display\`: \`${defaultDisplay}\`. ` +
      "A deployment may restrict user ids to one form. " +
      "After a 503 the notification may or may not have been stored: send again after `Retry-After`, with the same " +
      "`Idempotency-Key` to avoid a duplicate.",
    parameters: {
      "Idempotency-Key": {
        in: "header",
        description:
          "Equal requests with the same key create one notification, however many there are. The key is remembered for " +
          "a day. 1 to 255 visible ASCII characters without comma and quote, bare or in double quotes.",
        schema: IdempotencyKey,
        isRequired: requireIdempotencyKey,
        example: "0f8fad5b-d9cb-469f-a165-70867728950e",
      },
    },
    body: {
      schema: SendRequest,
      examples: EXAMPLES,
    },
    answers: {
      201: {
        description:
          "Stored for every recipient. `push` says what became of the push; it is never `pending`.",
        schema: answers().Sent,
        example: { ...EXAMPLE_ANSWER, push: "accepted" },
        headers: { Location: LOCATION },
      },
      202: {
        description:
          "Stored for every recipient. `push` is `pending`: some push could not be made yet, and will be.",
        schema: answers().Sent,
        example: { ...EXAMPLE_ANSWER, push: "pending" },
        headers: { Location: LOCATION },
      },
    },
    problems: [
      "payload_too_large",
      "idempotency_key_invalid",
      ...(requireIdempotencyKey ? (["idempotency_key_missing"] as const) : []),
      "idempotency_key_reused",
      "request_in_progress",
      "store_unavailable",
      "keys_unavailable",
    ],
  };
}
