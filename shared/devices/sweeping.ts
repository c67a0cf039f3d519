// The sweep: installations that were not renewed in time, records of former channels that nobody needs, and channels that
// nobody holds. It reads the tables part by part, so that each pass has bounded work and all of a table has its turn within
// a day. I/O through the store.
import type { CallContext } from "../base/context.ts";
import { mapBounded } from "../base/deadline.ts";
import { toCause } from "../base/log.ts";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import { DAY_MS } from "../domain/id.ts";
import type { ChannelRow, FormerChannel, SweptDevice, SweptTable } from "../store/storedDevices.ts";
import type { Versioned } from "../store/store.ts";
import { isInForce, isLive } from "./devices.ts";
import type { InstallationsOptions } from "./installations.ts";
import { releaseUnused } from "./holding.ts";
import { RELEASED_CHANNEL_KEPT_MS } from "./former.ts";
import { removeInstallation } from "./removing.ts";

const PAGE_ROWS = 1000;
/** What one hourly pass does for each table: it looks at up to 20,000 rows (half a million a day), for a minute. */
const MAX_PAGES = 20;
const MAX_TABLE_MS = 60_000;
const MAX_PARALLEL = 8;

/** One pass over a part of both tables. A failure of one row is that row's alone. */
export async function sweep(options: InstallationsOptions, context: CallContext): Promise<void> {
  const { store } = options;
  const devices = await sweepTable(options, "installations", context, async (from) => {
    const { rows, next } = await store.scanDevices(from, PAGE_ROWS, context.signal);
    return {
      rows: toConcerned(rows).map((row) => () => sweepDevice(options, row, context)),
      ...(next && { next }),
    };
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
  { store, clock }: InstallationsOptions,
  table: SweptTable,
  { log, signal }: CallContext,
  readPage: (from: string | undefined) => Promise<SweptPage>,
): Promise<number> {
  let from = await store.readSweepPosition(table, signal);
  const startedMs = clock.uncorrectedMs();
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
    if (next === undefined || clock.uncorrectedMs() - startedMs > MAX_TABLE_MS) break;
  }
  await store.writeSweepPosition(table, from, signal);
  return removed;
}

/** Without the state rows of recipients who have other rows: those come right before, in the order of the keys. */
function toConcerned(rows: readonly SweptDevice[]): readonly SweptDevice[] {
  return rows.filter(
    ({ kind, row }, i) => kind !== "state" || rows[i - 1]?.row.recipientKey !== row.recipientKey,
  );
}

async function sweepDevice(
  options: InstallationsOptions,
  swept: SweptDevice,
  context: CallContext,
): Promise<boolean> {
  switch (swept.kind) {
    case "installation": {
      if (isLive(options, swept.row)) return false;
      const removal = { holder: swept.row, etag: swept.etag, directory: "later" } as const;
      return removeInstallation(options, removal, context);
    }
    case "former":
      return sweepFormer(options, { value: swept.row, etag: swept.etag }, context);
    case "state":
      return sweepState(options, swept.row.recipientKey, context);
  }
}

async function sweepFormer(
  { store, clock, senders, limits }: InstallationsOptions,
  { value, etag }: Versioned<FormerChannel>,
  { signal }: CallContext,
): Promise<boolean> {
  const { recipientKey, channelKey, removedAt, createdAt } = value;
  const isOver =
    removedAt === undefined
      ? // By now the directory has forgotten its entries by itself.
        clock.now().getTime() - createdAt.getTime() > limits.installationTtlDays * DAY_MS
      : !isInForce(value, senders, clock.now());
  if (!isOver) return false;
  const deletion = { kind: "deleteFormer", channelKey, etag } as const;
  return (await store.changeDevices(recipientKey, [deletion], signal)) !== undefined;
}

/** The state row of a recipient without any other row. A registration at the same time changes it, and wins. */
async function sweepState(
  { store }: InstallationsOptions,
  recipientKey: RecipientKey,
  { signal }: CallContext,
): Promise<boolean> {
  const { installations, former, state } = await store.listDeviceRows(recipientKey, signal);
  if (state === undefined || installations.length + former.length > 0) return false;
  const deletion = { kind: "deleteState", etag: state.etag } as const;
  return (await store.changeDevices(recipientKey, [deletion], signal)) !== undefined;
}

/** Deletes a channel that nobody has held for a day; releases one whose holder has had no row for it for long. */
async function sweepChannel(
  options: InstallationsOptions,
  { value, etag, channelKey }: Versioned<ChannelRow> & { readonly channelKey: ChannelKey },
  { signal }: CallContext,
): Promise<boolean> {
  const { store, clock, limits } = options;
  const ageMs = clock.now().getTime() - value.changedAt.getTime();
  if (value.holder !== undefined) {
    if (ageMs <= limits.installationTtlDays * DAY_MS) return false;
    return (await releaseUnused(options, channelKey, { value, etag }, signal)) === "released";
  }
  if (ageMs <= RELEASED_CHANNEL_KEPT_MS) return false;
  if (value.releasedBy !== undefined) {
    // Its generation is still needed while the directory may have an entry of its last holder.
    const { former } = await store.listDeviceRows(value.releasedBy, signal);
    if (former.some((one) => one.value.channelKey === channelKey && one.value.removedAt === undefined))
      return false;
  }
  return store.deleteChannel(channelKey, etag, signal);
}
