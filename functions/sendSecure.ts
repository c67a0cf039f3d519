// sendSecure: a back end hands a notification in.
import { SendRequest } from "../shared/notification.ts";
import { err } from "../shared/result.ts";
import { Secret } from "../shared/secret.ts";
import type { Service } from "../shared/service.ts";
import { readJson } from "./body.ts";
import { parseBody } from "./fault.ts";
import { answerJson, type Call, type Handled } from "./handler.ts";

/** What a body may have beside the payload: recipients, names, white space. */
const ENVELOPE_BYTES = 64 * 1024;

export function sendSecure(service: Service, maxPayloadBytes: number): (call: Call) => Handled {
  return async ({ request, log, signal }) => {
    const body = await readJson(request, maxPayloadBytes + ENVELOPE_BYTES, signal, "payload");
    if (!body.ok) return body;
    const parsed = parseBody(SendRequest, body.value.value);
    if (!parsed.ok) return parsed;
    if (body.value.source === undefined)
      return err({ reason: "body_invalid", detail: "payload: is missing" });
    const sent = await service.send(parsed.value, new Secret(body.value.source), log, signal);
    if (!sent.ok) return sent;
    const { id, createdAt, expiresAt, push } = sent.value;
    return answerJson(
      201,
      { id, createdAt: createdAt.toISOString(), expiresAt: expiresAt.toISOString(), push },
      { location: `/api/notifications/${id}` },
    );
  };
}
