// The sweep: installations that were not renewed in time, records of former channels that nobody needs, and channels that
// nobody holds. It reads the tables part by part, so that each pass has bounded work and all of a table has its turn within
// a day. I/O through the store.
import type { CallContext } from "../base/context.ts";
import { mapBounded } from "../base/deadline.ts";
import { toCause } from "../base/log.ts";
import type { ChannelKey } from "../crypto/keyring.ts";
import { DAY_MS } from "../domain/id.ts";
import type { ChannelRow, SweptDevice, SweptTable, Versioned } from "../store/store.ts";
import { isInForce, isLive } from "./devices.ts";
import type { InstallationsOptions } from "./installations.ts";
import { RELEASED_CHANNEL_KEPT_MS } from "./reconciling.ts";
import { removeInstallation } from "./removing.ts";

const PAGE_ROWS = 1000;
/** Rows of each table that one hourly pass looks at: half a million a day. */
const MAX_PAGES = 20;
const MAX_PARALLEL = 8;

/** One pass over a part of both tables. A failure of one row is that row's alone. */
export async function sweep(options: InstallationsOptions, context: CallContext): Promise<void> {
  const { store } = options;
  const devices = await sweepTable(options, "installations", context, async (from) => {
    const { rows, next } = await store.scanDevices(from, PAGE_ROWS, context.signal);
    return { rows: rows.map((row) => () => sweepDevice(options, row, context)), ...(next && { next }) };
  });
  const channels = await sweepTable(options, "channels", context, async (from) => {
    const { rows, next } = await store.scanChannels(from, PAGE_ROWS, context.signal);
    return { rows: rows.map((row) => () => sweepChannel(options, row, context)), ...(next && { next }) };
  });
  context.log.info("devices_swept", { devices, channels });
}

interface SweptPage {
  /** Sweeps one row each, and says whether it was removed. */
  readonly rows: readonly (() => Promise<boolean>)[];
  readonly next?: string;
}

async function sweepTable(
  { store }: InstallationsOptions,
  table: SweptTable,
  { log, signal }: CallContext,
  readPage: (from: string | undefined) => Promise<SweptPage>,
): Promise<number> {
  let from = await store.readSweepPosition(table, signal);
  let removed = 0;
  for (let pages = 0; pages < MAX_PAGES; pages++) {
    const { rows, next } = await readPage(from);
    const results = await mapBounded(rows, MAX_PARALLEL, async (sweepRow) =>
      sweepRow().catch((error: unknown) => {
        signal.throwIfAborted();
        log.warn("row_not_swept", { table, cause: toCause(error) });
        return false;
      }),
    );
    removed += results.filter(Boolean).length;
    from = next;
    if (next === undefined) break;
  }
  await store.writeSweepPosition(table, from, signal);
  return removed;
}

async function sweepDevice(
  options: InstallationsOptions,
  swept: SweptDevice,
  context: CallContext,
): Promise<boolean> {
  const { store, clock, senders, limits } = options;
  if (swept.kind === "installation") {
    if (isLive(options, swept.row)) return false;
    return (await removeInstallation(options, swept.row, swept.etag, context)) === "removed";
  }
  const { recipientKey, channelKey, removedAt, createdAt } = swept.row;
  const isOver =
    removedAt === undefined
      ? // By now the directory has forgotten its entries by itself.
        clock.now().getTime() - createdAt.getTime() > limits.installationTtlDays * DAY_MS
      : !isInForce(swept.row, senders, clock.now());
  if (!isOver) return false;
  const deletion = { kind: "deleteFormer", channelKey, etag: swept.etag } as const;
  return (await store.changeDevices(recipientKey, [deletion], context.signal)) !== undefined;
}

/** A channel that nobody has held for a day, or whose holder has no row for it any more. */
async function sweepChannel(
  { store, clock, limits }: InstallationsOptions,
  { value, etag, channelKey }: Versioned<ChannelRow> & { readonly channelKey: ChannelKey },
  { signal }: CallContext,
): Promise<boolean> {
  const ageMs = clock.now().getTime() - value.changedAt.getTime();
  if (value.holder === undefined)
    return ageMs > RELEASED_CHANNEL_KEPT_MS && (await store.deleteChannel(channelKey, etag, signal));
  if (ageMs <= limits.installationTtlDays * DAY_MS) return false;
  const row = (await store.readInstallation(value.holder, signal))?.value;
  return row?.channelKey !== channelKey && (await store.deleteChannel(channelKey, etag, signal));
}
