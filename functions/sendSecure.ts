// sendSecure: a back end hands a notification in.
import type { HttpRequest } from "@azure/functions";
import { SendRequest } from "../shared/notification.ts";
import type { Failure } from "../shared/problem.ts";
import { err, ok, type Result } from "../shared/result.ts";
import { Secret } from "../shared/secret.ts";
import type { Service } from "../shared/service.ts";
import { readJson } from "./body.ts";
import { parseBody } from "./fault.ts";
import { answerJson, type Call, type Handled } from "./handler.ts";

/** What a body may have beside the payload: recipients, names, white space. */
const ENVELOPE_BYTES = 64 * 1024;

export function sendSecure(
  service: Service,
  maxPayloadBytes: number,
): (call: Call, sender: Secret<string>) => Handled {
  return async ({ request, log, signal }, sender) => {
    const body = await readJson(request, maxPayloadBytes + ENVELOPE_BYTES, signal, "payload");
    if (!body.ok) return body;
    const parsed = parseBody(SendRequest, body.value.value);
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
      log,
      signal,
    );
    if (!sent.ok) return sent;
    const { id, createdAt, expiresAt, push } = sent.value;
    return answerJson(
      push === "pending" ? 202 : 201,
      { id, createdAt: createdAt.toISOString(), expiresAt: expiresAt.toISOString(), push },
      { location: `/api/notifications/${id}` },
    );
  };
}

/**
 * The Idempotency-Key, with or without the quotes of a structured field (draft-ietf-httpapi-idempotency-key-header §2.1,
 * R77). Two header lines arrive joined by a comma, which none may hold.
 */
function parseIdempotencyKey({ headers }: HttpRequest): Result<string | undefined, Failure> {
  const text = headers.get("idempotency-key");
  if (text === null) return ok(undefined);
  const [, quoted] = /^"(.*)"$/.exec(text) ?? [];
  const key = quoted ?? text;
  // Visible ASCII, but for the comma; a quote that is not the field's own would make two keys of one.
  return /^[\x21\x23-\x2b\x2d-\x7e]{1,255}$/.test(key) ? ok(key) : err({ reason: "idempotency_key_invalid" });
}
