// Rows of `outbox` and `idempotency`: which keys, which properties (docs/storage.md).
import * as z from "zod";
import type { ChannelKey, ClaimKey, RecipientKey } from "../crypto/keyring.ts";
import { NotificationId } from "../domain/id.ts";
import { Display, InstallationId, PLATFORMS, PUSH_STATUSES, Urgency } from "../domain/notification.ts";
import { untilWon } from "./race.ts";
import { isCurrent, jsonOf, RowDamagedError } from "./rows.ts";
import {
  type Claim,
  type ClaimRows,
  DEAD_REASONS,
  type ListedOutboxRow,
  type OutboxKey,
  type OutboxRow,
  type OutboxRows,
  type Work,
} from "./store.ts";
import type { RowKey, StoredRow, Tables, Value, Values } from "./table.ts";

/** A text property holds 32 Ki UTF-16 units at most (Azure Tables' data model); ours are ASCII. */
const CHUNK_CHARACTERS = 32_768;
const OUTBOX = "outbox";
const SHARDS = 16;
const MAX_PAUSE_MS = 3_600_000;
/** One answer of the store holds no more. */
const MAX_COUNTED_ROWS = 1000;
/** Whatever is open is due before that; a dead row has no such time. */
const END_OF_TIME = new Date("9999-01-01T00:00:00Z");

export function createOutboxRows(tables: Tables): OutboxRows & ClaimRows {
  return {
    putOutbox: (key, row, etag, signal) => tables.write(toOutboxKey(key), toOutboxValues(row), etag, signal),
    readOutbox: async (key, signal) => {
      const row = await tables.read(toOutboxKey(key), signal);
      return row && { etag: row.etag, value: toOutboxRow(row) };
    },
    deleteOutbox: async (key, etag, signal) =>
      (await tables.remove(toOutboxKey(key), etag, signal)) ? "written" : "changed",
    listDue: async (before, limit, signal) =>
      (await tables.listWhere(OUTBOX, toPastFilter("dueAt", before), limit, signal)).map(toListed),
    listOutbox: async (signal) =>
      (await tables.listWhere(OUTBOX, undefined, Infinity, signal))
        .filter(({ partitionKey }) => partitionKey !== PAUSE)
        .map(toListed),
    countOutbox: async (signal) => {
      const rows = await tables.listWhere(
        OUTBOX,
        toPastFilter("dueAt", END_OF_TIME),
        MAX_COUNTED_ROWS,
        signal,
        ["createdAt"],
      );
      const made = rows
        .map(({ values }) => values["createdAt"])
        .filter((at) => at instanceof Date)
        .map((at) => at.getTime());
      return { open: rows.length, ...(made.length === 0 ? {} : { oldestAt: new Date(Math.min(...made)) }) };
    },
    postponeUnreadable: async ({ key, partitionKey, etag }, dueAt, signal) => {
      // Whoever has changed it meanwhile knows better.
      await tables.merge({ table: OUTBOX, partitionKey, rowKey: key }, { dueAt }, etag, signal);
    },
    readPause: async (sender, signal) => {
      const until = (await tables.read(toPauseKey(sender), signal))?.values["until"];
      return until instanceof Date ? until : undefined;
    },
    pause: async (sender, until, signal) => {
      const key = toPauseKey(sender);
      const tryOnce = async () => {
        const row = await tables.read(key, signal);
        const before = row?.values["until"];
        const isAbsurd = before instanceof Date && before.getTime() > until.getTime() + MAX_PAUSE_MS;
        if (before instanceof Date && before >= until && !isAbsurd) return true;
        return (await tables.write(key, { until }, row?.etag, signal)) === undefined ? undefined : true;
      };
      await untilWon(tryOnce, "a sender's pause changed too often at once", signal);
    },

    readClaim: async (key, signal) => {
      const row = await tables.read(toClaimRowKey(key), signal);
      return row && { etag: row.etag, value: toClaim(row) };
    },
    putClaim: (key, { id, push, leaseUntil, ...rest }, etag, signal) =>
      tables.write(
        toClaimRowKey(key),
        {
          notificationId: id,
          ...rest,
          ...(push === undefined ? {} : { push }),
          ...(leaseUntil === undefined ? {} : { leaseUntil }),
        },
        etag,
        signal,
      ),
  };
}

export function toPastFilter(property: string, before: Date): string {
  return `${property} lt datetime'${before.toISOString()}'`;
}

/** Spread by the last character, which is random in IDs and tasks' keys alike. */
function toOutboxKey(key: OutboxKey): RowKey {
  const shard = key.charCodeAt(key.length - 1) % SHARDS;
  return { table: OUTBOX, partitionKey: String(shard), rowKey: key };
}

const PAUSE = "pause";

function toPauseKey(sender: string): RowKey {
  return { table: OUTBOX, partitionKey: PAUSE, rowKey: sender };
}

/** Spread over 256 partitions by the hash itself. */
function toClaimRowKey(key: ClaimKey): RowKey {
  return { table: "idempotency", partitionKey: key.slice(0, 2), rowKey: key };
}

function toOutboxValues({ work, ...row }: OutboxRow): Values {
  const values: Record<string, Value> = {};
  for (const [name, value] of Object.entries(row)) values[name] = value;
  const text = JSON.stringify(work);
  const chunks = Math.ceil(text.length / CHUNK_CHARACTERS);
  for (let i = 0; i < chunks; i++)
    values[`work${i}`] = text.slice(i * CHUNK_CHARACTERS, (i + 1) * CHUNK_CHARACTERS);
  return { ...values, chunks };
}

const recipientKey = z.custom<RecipientKey>(
  (value) => typeof value === "string" && /^[A-Za-z0-9_-]{43}$/.test(value),
);
const channelKey = z.custom<ChannelKey>((value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value));
const time = z.iso.datetime().transform((text) => new Date(text));

const TargetValues = z
  .object({ platform: z.enum(PLATFORMS), installationId: InstallationId.optional() })
  .transform(({ platform, installationId }) =>
    installationId === undefined ? { platform } : { platform, installationId },
  );

const WorkValues = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("send"),
    expiresAt: time,
    urgency: Urgency,
    display: Display,
    isWritten: z.boolean(),
    owed: z.array(
      z
        .object({
          recipientKey,
          targets: z.array(TargetValues).optional(),
          isAccepted: z.boolean(),
          hasFailed: z.boolean(),
        })
        .transform(({ targets, ...owed }) => (targets === undefined ? owed : { ...owed, targets })),
    ),
    failed: z.array(recipientKey),
  }),
  z.object({
    kind: z.literal("settle"),
    holder: z.object({ recipientKey, installationId: InstallationId }),
    channelKeys: z.array(channelKey),
  }),
  z.object({ kind: z.literal("erase"), recipientKeys: z.array(recipientKey), before: time }),
]);

const OutboxValues = z.object({
  createdAt: z.date(),
  attempts: z.int(),
  dueAt: z.date().optional(),
  leaseUntil: z.date().optional(),
  reason: z.enum(DEAD_REASONS).optional(),
  dropAfter: z.date().optional(),
  chunks: z.int().min(1).max(16),
});

function toListed(row: StoredRow): ListedOutboxRow {
  const dueAt = row.values["dueAt"];
  const key = row.rowKey as OutboxKey;
  const isWhereItBelongs = toOutboxKey(key).partitionKey === row.partitionKey;
  return {
    key,
    partitionKey: row.partitionKey,
    etag: row.etag,
    value: isWhereItBelongs ? toOutboxRow(row) : undefined,
    ...(dueAt instanceof Date ? { dueAt } : {}),
  };
}

/** A row that this code cannot read, damaged or of another version, has no value. */
function toOutboxRow({ rowKey, values }: StoredRow): OutboxRow | undefined {
  const row = OutboxValues.safeParse(values);
  if (!row.success || !isCurrent(values)) return undefined;
  const { chunks, createdAt, attempts, dueAt, leaseUntil, reason, dropAfter } = row.data;
  const text = Array.from({ length: chunks }, (_, i) => values[`work${i}`]).join("");
  const work = jsonOf<Work>(WorkValues).safeParse(text);
  if (!work.success) return undefined;
  // What is pushed is an ID that we could have made, and nothing else (P1).
  if (work.data.kind === "send" && !NotificationId.safeParse(rowKey).success) return undefined;
  return {
    createdAt,
    attempts,
    work: work.data,
    ...(dueAt === undefined ? {} : { dueAt }),
    ...(leaseUntil === undefined ? {} : { leaseUntil }),
    ...(reason === undefined ? {} : { reason }),
    ...(dropAfter === undefined ? {} : { dropAfter }),
  };
}

const ClaimValues = z.object({
  fingerprint: z.string(),
  notificationId: NotificationId,
  createdAt: z.date(),
  expiresAt: z.date(),
  leaseUntil: z.date().optional(),
  push: z.enum(PUSH_STATUSES).optional(),
  dropAfter: z.date(),
});

/** @throws RowDamagedError: what a key stands for is not guessed. */
function toClaim({ values }: StoredRow): Claim {
  const parsed = ClaimValues.safeParse(values);
  if (!parsed.success || !isCurrent(values)) throw new RowDamagedError("an idempotency key's row is damaged");
  const { notificationId, leaseUntil, push, ...rest } = parsed.data;
  return {
    ...rest,
    id: notificationId,
    ...(leaseUntil === undefined ? {} : { leaseUntil }),
    ...(push === undefined ? {} : { push }),
  };
}
