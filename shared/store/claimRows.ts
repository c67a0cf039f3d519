// Rows of the tables of idempotency keys, one table for each day, dropped whole (docs/storage.md).
import * as z from "zod";
import { NotificationId, toDayName } from "../domain/id.ts";
import { isCurrent, listDayTables, RowDamagedError } from "./rows.ts";
import type { Claim, ClaimAddress, ClaimRows } from "./store.ts";
import type { RowKey, StoredRow, Tables } from "./table.ts";

const IDEMPOTENCY = "idempotency";

export function createClaimRows(tables: Tables): ClaimRows {
  return {
    readClaim: async (address, signal) => {
      const row = await tables.read(toClaimRowKey(address), signal);
      return row && { etag: row.etag, value: toClaim(row) };
    },
    writeClaim: (address, { id, ...rest }, etag, signal) =>
      tables.write(toClaimRowKey(address), { notificationId: id, ...rest }, etag, signal),
    deleteClaim: async (address, etag, signal) => {
      await tables.remove(toClaimRowKey(address), etag, signal);
    },
    listClaimDays: (signal) => listDayTables(tables, IDEMPOTENCY, signal),
    prepareClaimDay: (day, signal) => tables.makeTable(IDEMPOTENCY + toDayName(day), undefined, signal),
    dropClaimDay: (day, signal) => tables.dropTable(IDEMPOTENCY + toDayName(day), signal),
  };
}

/** Spread over 256 partitions by the hash itself. */
function toClaimRowKey({ day, key }: ClaimAddress): RowKey {
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
