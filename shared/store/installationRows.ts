// Rows of `installations` and `channels`, and how far the sweep has come: which keys, which properties (docs/storage.md).
import * as z from "zod";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import { type InstallationId, PLATFORMS, SENDER_NAMES } from "../domain/installation.ts";
import { isCurrent } from "./rows.ts";
import type {
  ChannelHolder,
  ChannelRow,
  DeviceChange,
  DeviceState,
  FormerChannel,
  InstallationRow,
  InstallationRows,
  SweptDevice,
} from "./storedDevices.ts";
import type { Versioned } from "./store.ts";
import type { RowKey, StoredRow, TableOperation, Tables, Values } from "./table.ts";

const INSTALLATIONS = "installations";
const CHANNELS = "channels";
/** No installation id holds this character. */
const OTHER = "~";
const FORMER = `${OTHER}former-`;
const STATE = `${OTHER}state`;

export function createInstallationRows(tables: Tables): InstallationRows {
  return {
    listDeviceRows: async (recipientKey, signal) => {
      const range = { table: INSTALLATIONS, partitionKey: recipientKey };
      const rows = await tables.list(range, Infinity, signal);
      const state = rows.find(({ rowKey }) => rowKey === STATE);
      return {
        installations: rows
          .filter(({ rowKey }) => !rowKey.startsWith(OTHER))
          .map((row) => ({ ...toInstallation(row), installationId: row.rowKey as InstallationId })),
        former: rows.map(toFormer).filter((row) => row !== undefined),
        ...(state === undefined ? {} : { state: toState(state) }),
      };
    },
    readInstallation: async (holder, signal) => {
      const row = await tables.read(toInstallationKey(holder), signal);
      return row && toInstallation(row);
    },
    changeDevices: (recipientKey, changes, signal) =>
      tables.transact(INSTALLATIONS, recipientKey, changes.map(toOperation), signal),
    readChannel: async (channelKey, signal) => {
      const row = await tables.read(toChannelRowKey(channelKey), signal);
      return row && toChannel(row);
    },
    writeChannel: (channelKey, row, etag, signal) =>
      tables.write(toChannelRowKey(channelKey), toChannelValues(row), etag, signal),
    deleteChannel: (channelKey, etag, signal) => tables.remove(toChannelRowKey(channelKey), etag, signal),
    scanDevices: async (from, limit, signal) => {
      const { rows, next } = await tables.scan(INSTALLATIONS, from, limit, signal);
      return { rows: rows.map(toSwept).filter((row) => row !== undefined), ...(next && { next }) };
    },
    scanChannels: async (from, limit, signal) => {
      const { rows, next } = await tables.scan(CHANNELS, from, limit, signal);
      // A row that this code cannot read may be a newer version's.
      const channels = rows
        .filter(({ values }) => ChannelValues.safeParse(values).success && isCurrent(values))
        .map((row) => ({ ...toChannel(row), channelKey: row.rowKey as ChannelKey }));
      return { rows: channels, ...(next && { next }) };
    },
    readSweepPosition: async (table, signal) => {
      const position = (await tables.read(toSweepKey(table), signal))?.values["position"];
      return typeof position === "string" && position !== "" ? position : undefined;
    },
    writeSweepPosition: async (table, position, signal) => {
      const key = toSweepKey(table);
      const etag = (await tables.read(key, signal))?.etag;
      // Where another pass was faster, its position is as good.
      await tables.write(key, { position: position ?? "" }, etag, signal);
    },
  };
}

function toInstallationKey({ recipientKey, installationId }: ChannelHolder): RowKey {
  return { table: INSTALLATIONS, partitionKey: recipientKey, rowKey: installationId };
}

/** Spread over 256 partitions by the hash itself. */
function toChannelRowKey(channelKey: ChannelKey): RowKey {
  return { table: CHANNELS, partitionKey: channelKey.slice(0, 2), rowKey: channelKey };
}

function toSweepKey(table: string): RowKey {
  return { table: "sweeps", partitionKey: "sweep", rowKey: table };
}

function toOperation(change: DeviceChange): TableOperation {
  switch (change.kind) {
    case "putInstallation": {
      const { recipientKey: _, installationId, ...values } = change.row;
      return toPut(installationId, values, change.etag);
    }
    case "putFormer": {
      const { recipientKey: _, channelKey, ...values } = change.row;
      return toPut(FORMER + channelKey, values, change.etag);
    }
    case "deleteInstallation":
      return { kind: "delete", rowKey: change.installationId, etag: change.etag };
    case "putState":
      return toPut(STATE, { ...change.row }, change.etag);
    case "deleteState":
      return { kind: "delete", rowKey: STATE, etag: change.etag };
    case "deleteFormer":
      return { kind: "delete", rowKey: FORMER + change.channelKey, etag: change.etag };
  }
}

function toPut(rowKey: string, values: Values, etag: string | undefined): TableOperation {
  return etag === undefined ? { kind: "insert", rowKey, values } : { kind: "replace", rowKey, values, etag };
}

const channelKey = z.custom<ChannelKey>((value) => typeof value === "string");
const generation = z.int().min(0);

const InstallationValues = z.object({
  platform: z.enum(PLATFORMS),
  sender: z.enum(SENDER_NAMES),
  channelKey,
  generation,
  sealedPushChannel: z.instanceof(Uint8Array),
  subscribedUnder: z.string().optional(),
  createdAt: z.date(),
  renewedAt: z.date(),
  reconciledAt: z.date().optional(),
});

/** A row that this code cannot read, damaged or of another version, has no value, and can still be replaced. */
function toInstallation({
  partitionKey,
  rowKey,
  etag,
  values,
}: StoredRow): Versioned<InstallationRow | undefined> {
  const parsed = InstallationValues.safeParse(values);
  if (!parsed.success || !isCurrent(values)) return { etag, value: undefined };
  const { subscribedUnder, reconciledAt, ...rest } = parsed.data;
  const value = {
    recipientKey: partitionKey as RecipientKey,
    installationId: rowKey as InstallationId,
    ...rest,
    ...(subscribedUnder === undefined ? {} : { subscribedUnder }),
    ...(reconciledAt === undefined ? {} : { reconciledAt }),
  };
  return { etag, value };
}

const FormerValues = z.object({
  platform: z.enum(PLATFORMS),
  sender: z.enum(SENDER_NAMES),
  from: generation,
  to: generation,
  createdAt: z.date(),
  removedAt: z.date().optional(),
});

function toFormer({ partitionKey, rowKey, etag, values }: StoredRow): Versioned<FormerChannel> | undefined {
  if (!rowKey.startsWith(FORMER)) return undefined;
  const parsed = FormerValues.safeParse(values);
  if (!parsed.success) return undefined;
  const { removedAt, ...rest } = parsed.data;
  const value = {
    recipientKey: partitionKey as RecipientKey,
    channelKey: rowKey.slice(FORMER.length) as ChannelKey,
    ...rest,
    ...(removedAt === undefined ? {} : { removedAt }),
  };
  return { etag, value };
}

function toState({ etag, values: { erasureAskedAt } }: StoredRow): Versioned<DeviceState> {
  return { etag, value: erasureAskedAt instanceof Date ? { erasureAskedAt } : {} };
}

function toSwept(row: StoredRow): SweptDevice | undefined {
  if (row.rowKey === STATE)
    return { kind: "state", row: { recipientKey: row.partitionKey as RecipientKey }, etag: row.etag };
  const former = toFormer(row);
  if (former !== undefined) return { kind: "former", row: former.value, etag: former.etag };
  const { value, etag } = toInstallation(row);
  return value && { kind: "installation", row: value, etag };
}

function toChannelValues({ holder, generation: of, previous, releasedBy, changedAt }: ChannelRow): Values {
  return {
    ...(releasedBy && { releasedBy }),
    ...(holder && { recipientKey: holder.recipientKey, installationId: holder.installationId }),
    ...(previous && {
      previousRecipientKey: previous.recipientKey,
      previousInstallationId: previous.installationId,
    }),
    generation: of,
    changedAt,
  };
}

function toHolder(recipientKey: unknown, installationId: unknown): ChannelHolder | undefined {
  if (typeof recipientKey !== "string" || typeof installationId !== "string") return undefined;
  return { recipientKey: recipientKey as RecipientKey, installationId: installationId as InstallationId };
}

const ChannelValues = z.object({ generation, changedAt: z.date() });

function toChannel({ etag, values }: StoredRow): Versioned<ChannelRow> {
  const parsed = ChannelValues.safeParse(values);
  if (!parsed.success || !isCurrent(values))
    return { etag, value: { generation: 0, changedAt: new Date(0) } };
  const holder = toHolder(values["recipientKey"], values["installationId"]);
  const previous = toHolder(values["previousRecipientKey"], values["previousInstallationId"]);
  const { releasedBy } = values;
  return {
    etag,
    value: {
      ...parsed.data,
      ...(holder && { holder }),
      ...(previous && { previous }),
      ...(typeof releasedBy === "string" && { releasedBy: releasedBy as RecipientKey }),
    },
  };
}
