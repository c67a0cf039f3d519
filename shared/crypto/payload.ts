// A payload at rest: sealed under the data key of its expiry day, and bound to its recipient, ID and expiry. A row that
// is copied elsewhere or given a later expiry does not open. No I/O.
import type { KeyObject } from "node:crypto";
import type { RecipientKey } from "./keyring.ts";
import { open, seal, toContext } from "./seal.ts";
import type { NotificationId } from "../domain/id.ts";
import { Secret } from "../base/secret.ts";

/** What a payload is bound to. */
interface PayloadContext {
  readonly recipientKey: RecipientKey;
  readonly id: NotificationId;
  readonly expiresAt: Date;
}

/** `payload` is JSON text. */
export function sealPayload(dayKey: KeyObject, context: PayloadContext, payload: Secret<string>): Uint8Array {
  return seal(dayKey, toPayloadContext(context), payload.reveal());
}

/** The JSON text; `undefined` if the row was altered or moved, or the key is another. */
export function openPayload(
  dayKey: KeyObject,
  row: PayloadContext & { readonly sealed: Uint8Array },
): Secret<string> | undefined {
  const plain = open(dayKey, toPayloadContext(row), row.sealed);
  return plain && new Secret(plain.toString("utf8"));
}

function toPayloadContext({ recipientKey, id, expiresAt }: PayloadContext): Buffer {
  return toContext(recipientKey, id, String(expiresAt.getTime()));
}
