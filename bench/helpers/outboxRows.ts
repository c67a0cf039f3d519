// Rows of an outbox that a hub has not taken for an hour. I/O: the store.
import { randomBytes } from "node:crypto";
import type { RecipientKey } from "../../shared/crypto/keyring.ts";
import { createNotificationId, DAY_MS } from "../../shared/domain/id.ts";
import type { OutboxRow } from "../../shared/store/outboxWork.ts";
import type { OutboxChange, Store } from "../../shared/store/store.ts";

const BATCH = 1_000;
const never = new AbortController().signal;

/** Rows of sends that are pending for the hub. The first `withPayload` of them have a payload. */
export async function seedOutbox(store: Store, rows: number, withPayload: number): Promise<void> {
  const recipients = Array.from({ length: 300 }, () => randomBytes(32).toString("base64url") as RecipientKey);
  const startMs = Date.now() - 3_600_000;
  const expiresAt = new Date(Date.now() + DAY_MS);
  for (let first = 0; first < rows; first += BATCH) {
    const changes: OutboxChange[] = [];
    for (let i = first; i < Math.min(first + BATCH, rows); i++) {
      const createdAt = new Date(startMs + i);
      const recipientKey = recipients[i % recipients.length] ?? ("" as RecipientKey);
      const key = createNotificationId(createdAt, expiresAt);
      changes.push({ key, after: toPendingRow(recipientKey, createdAt, expiresAt) });
      if (i < withPayload)
        await store.insertNotification(
          {
            recipientKey,
            id: key,
            sealed: randomBytes(64),
            createdAt,
            expiresAt,
            urgency: "normal",
            display: "alert",
          },
          "new",
          never,
        );
    }
    await store.writeOutboxBatch(changes, never);
  }
}

function toPendingRow(recipientKey: RecipientKey, createdAt: Date, expiresAt: Date): OutboxRow {
  const targets = [{ sender: "hub", platform: "fcmv1" }] as const;
  return {
    createdAt,
    attempts: 1,
    due: { hub: createdAt, expire: expiresAt },
    work: {
      kind: "send",
      expiresAt,
      urgency: "normal",
      display: "alert",
      isWritten: true,
      pending: [{ recipientKey, targets, isAccepted: false, hasFailed: false }],
      failed: [],
    },
  };
}
