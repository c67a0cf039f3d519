// Rows of the tables of idempotency keys, one table for each day, dropped whole (docs/storage.md).
import * as z from "zod";
import type { ClaimKey } from "../crypto/keyring.ts";
import { type Day, NotificationId, toDayName } from "../domain/id.ts";
import { isCurrent, listDayTables, RowDamagedError } from "./rows.ts";
import type { Claim, ClaimRows } from "./store.ts";
import type { RowKey, StoredRow, Tables } from "./table.ts";

const IDEMPOTENCY = "idempotency";

export function createClaimRows(tables: Tables): ClaimRows {
  return {
    readClaim: async (day, key, signal) => {
      const row = await tables.read(toClaimRowKey(day, key), signal);
      return row && { etag: row.etag, value: toClaim(row) };
    },
    writeClaim: (day, key, { id, ...rest }, etag, signal) =>
      tables.write(toClaimRowKey(day, key), { notificationId: id, ...rest }, etag, signal),
    deleteClaim: async (day, key, etag, signal) => {
      await tables.remove(toClaimRowKey(day, key), etag, signal);
    },
    listClaimDays: (signal) => listDayTables(tables, IDEMPOTENCY, signal),
    prepareClaimDay: (day, signal) => tables.makeTable(IDEMPOTENCY + toDayName(day), undefined, signal),
    dropClaimDay: (day, signal) => tables.dropTable(IDEMPOTENCY + toDayName(day), signal),
  };
}

/** Spread over 256 partitions by the hash itself. */
function toClaimRowKey(day: Day, key: ClaimKey): RowKey {
  return { table: IDEMPOTENCY + toDayName(day), partitionKey: key.slice(0, 2), rowKey: key };
}

const ClaimValues = z.object({
  fingerprint: z.string(),
  notificationId: NotificationId,
  createdAt: z.date(),
  expiresAt: z.date(),
  claimedAt: z.date(),
});

/** @throws RowDamagedError: what a key was used for is not guessed. */
function toClaim({ values }: StoredRow): Claim {
  const parsed = ClaimValues.safeParse(values);
  if (!parsed.success || !isCurrent(values)) throw new RowDamagedError("an idempotency key's row is damaged");
  const { notificationId, ...rest } = parsed.data;
  return { ...rest, id: notificationId };
}
