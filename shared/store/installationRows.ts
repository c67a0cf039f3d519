// Rows of `installations` and `channels`: which keys, which properties (docs/storage.md).
import * as z from "zod";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import { type InstallationId, PLATFORMS } from "../domain/notification.ts";
import { isCurrent, jsonOf } from "./rows.ts";
import type {
  ChannelHolder,
  ChannelRow,
  InstallationRow,
  InstallationRows,
  Versioned,
  WriteOutcome,
} from "./store.ts";
import type { RowKey, StoredRow, Tables } from "./table.ts";

export function createInstallationRows(tables: Tables): InstallationRows {
  return {
    listInstallations: async (recipientKey, signal) =>
      (await tables.list({ table: "installations", partitionKey: recipientKey }, Infinity, signal)).map(
        (row) => ({
          ...toInstallation(row),
          holder: { recipientKey, installationId: row.rowKey as InstallationId },
        }),
      ),
    readInstallation: async (holder, signal) => {
      const row = await tables.read(toInstallationKey(holder), signal);
      return row && toInstallation(row);
    },
    writeInstallation: (row, etag, signal) => {
      const { recipientKey, installationId, leaving, ...rest } = row;
      const key = toInstallationKey({ recipientKey, installationId });
      const values = { ...rest, leaving: JSON.stringify(leaving) };
      return toOutcome(tables.write(key, values, etag, signal));
    },
    deleteInstallation: async (holder, etag, signal) =>
      (await tables.remove(toInstallationKey(holder), etag, signal)) ? "written" : "changed",

    readChannel: async (channelKey, signal) => {
      const row = await tables.read(toChannelRowKey(channelKey), signal);
      return row && toChannel(row);
    },
    writeChannel: (channelKey, { holder, displaced, isSettled }, etag, signal) => {
      const key = toChannelRowKey(channelKey);
      const named = holder && { recipientKey: holder.recipientKey, installationId: holder.installationId };
      const values = { ...named, displaced: JSON.stringify(displaced), isSettled };
      return toOutcome(tables.write(key, values, etag, signal));
    },
    deleteChannel: async (channelKey, etag, signal) =>
      (await tables.remove(toChannelRowKey(channelKey), etag, signal)) ? "written" : "changed",
  };
}

async function toOutcome(writing: Promise<string | undefined>): Promise<WriteOutcome> {
  return (await writing) === undefined ? "changed" : "written";
}

function toInstallationKey({ recipientKey, installationId }: ChannelHolder): RowKey {
  return { table: "installations", partitionKey: recipientKey, rowKey: installationId };
}

/** Spread over 256 partitions by the hash itself. */
function toChannelRowKey(channelKey: ChannelKey): RowKey {
  return { table: "channels", partitionKey: channelKey.slice(0, 2), rowKey: channelKey };
}

/** A row that this code cannot read, damaged or of another version, has no value, and can still be replaced. */
function toInstallation({
  partitionKey,
  rowKey,
  etag,
  values,
}: StoredRow): Versioned<InstallationRow | undefined> {
  const parsed = InstallationValues.safeParse(values);
  if (!parsed.success || !isCurrent(values)) return { etag, value: undefined };
  const recipientKey = partitionKey as RecipientKey;
  return { etag, value: { recipientKey, installationId: rowKey as InstallationId, ...parsed.data } };
}

const channelKey = z.custom<ChannelKey>((value) => typeof value === "string");

const InstallationValues = z.object({
  platform: z.enum(PLATFORMS),
  channelKey,
  sealedPushChannel: z.instanceof(Uint8Array),
  changedAt: z.date(),
  renewedAt: z.date(),
  leaving: jsonOf(z.array(channelKey)),
});

const Holder = z.object({
  recipientKey: z.custom<RecipientKey>((value) => typeof value === "string"),
  installationId: z.custom<InstallationId>((value) => typeof value === "string"),
});

const ChannelValues = z.object({ displaced: jsonOf(z.array(Holder)), isSettled: z.boolean() });

function toChannel({ etag, values }: StoredRow): Versioned<ChannelRow> {
  const parsed = ChannelValues.safeParse(values);
  // What cannot be read names nobody, and whoever claims the channel next replaces it.
  if (!parsed.success || !isCurrent(values)) return { etag, value: { displaced: [], isSettled: false } };
  const holder = Holder.safeParse(values);
  return { etag, value: { ...parsed.data, ...(holder.success ? { holder: holder.data } : {}) } };
}
