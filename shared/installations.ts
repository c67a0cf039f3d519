// Registering and removing devices, and listing them for a push. I/O through the store and the hub that are handed in.
import { type Channels, createChannels, isSameHolder } from "./channels.ts";
import type { Clock } from "./clock.ts";
import type { Limits } from "./config.ts";
import type { ChannelKey, Keyring, RecipientKey } from "./crypto/keyring.ts";
import { both, mapBounded } from "./deadline.ts";
import { DAY_MS } from "./id.ts";
import type { Log } from "./log.ts";
import type { InstallationId, InstallationRequest, PushChannel, UserId } from "./notification.ts";
import type { Failure } from "./problem.ts";
import type { HubSender } from "./push/sender.ts";
import { openChannel, sealChannel, toAddress } from "./pushChannel.ts";
import { untilWon } from "./race.ts";
import { err, ok, type Result } from "./result.ts";
import {
  type ChannelHolder,
  type InstallationRow,
  type Store,
  StoreUnavailableError,
  type Versioned,
} from "./store/store.ts";

interface Registered {
  readonly installationId: InstallationId;
  /** Unless renewed before. */
  readonly expiresAt: Date;
  readonly isNew: boolean;
}

export interface Installations {
  /** Refuses a platform that nothing serves, and more installations than are allowed. */
  readonly register: (
    userId: UserId,
    installationId: InstallationId,
    request: InstallationRequest,
    log: Log,
    signal: AbortSignal,
  ) => Promise<Result<Registered, Failure>>;
  /** Removing what is not there is no failure. */
  readonly remove: (
    userId: UserId,
    installationId: InstallationId,
    log: Log,
    signal: AbortSignal,
  ) => Promise<Result<void, Failure>>;
  /**
   * The devices of a recipient that were renewed in time. One that the hub may not show to tags yet is there only
   * while it still holds its push channel: it is addressed by that.
   */
  readonly listDevices: (
    recipientKey: RecipientKey,
    log: Log,
    signal: AbortSignal,
  ) => Promise<readonly Device[]>;
}

export interface Device extends InstallationRow {
  /** Opens the sealed push channel; nothing where the row was altered. */
  readonly openChannel: () => PushChannel | undefined;
}

export interface InstallationsOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly hub: HubSender;
  readonly clock: Clock;
  readonly limits: Limits;
}

const CHANGED_TOO_OFTEN = "an installation changed too often at once";
const MAX_PARALLEL_READS = 8;
/** Moves that the hub was not told of; a row holds no more. */
const MAX_LEAVING = 50;
const RETRY_AFTER_SECONDS = 5;

/** The hub shows an installation to tags with a delay; for so long a device is also reached directly. */
const VISIBLE_AFTER_MS = 120_000;

/** Whether a device was made, or moved, so lately that a tag may not reach it. */
export function isFresh({ changedAt }: InstallationRow, now: Date): boolean {
  return now.getTime() - changedAt.getTime() < VISIBLE_AFTER_MS;
}

export function createInstallations(options: InstallationsOptions): Installations {
  const { store, keyring, hub, clock, limits } = options;

  const toExpiresAt = ({ renewedAt }: InstallationRow) =>
    new Date(renewedAt.getTime() + limits.installationTtlDays * DAY_MS);
  const isLive = (row: InstallationRow) => toExpiresAt(row) > clock.now();
  const toLive = (rows: readonly Versioned<InstallationRow | undefined>[]): readonly InstallationRow[] =>
    rows
      .map(({ value }) => value)
      .filter((row) => row !== undefined)
      .filter(isLive);

  const channels: Channels = createChannels({
    store,
    hub,
    readHubInstallation: async (holder, channelKey, signal) => {
      const row = (await store.readInstallation(holder, signal))?.value;
      if (row?.channelKey !== channelKey) return undefined;
      const channel = openChannel(await keyring.purposes(signal), row);
      if (channel === undefined) return undefined;
      const { recipientKey, platform } = row;
      return { channelKey, recipientKey, platform, channel, expiresAt: toExpiresAt(row) };
    },
  });

  /** Writes our own row over whatever stands there; what that held is left behind by the row itself, until it is. */
  async function writeOwn(
    wanted: Omit<InstallationRow, "leaving" | "changedAt">,
    isKnown: boolean,
    signal: AbortSignal,
  ): Promise<{ readonly row: InstallationRow; readonly before?: InstallationRow }> {
    const tryOnce = async () => {
      const found = await store.readInstallation(wanted, signal);
      const before = found?.value;
      const isRenewal = before?.channelKey === wanted.channelKey && isKnown;
      const leaving = [...(before?.leaving ?? []), ...(before === undefined ? [] : [before.channelKey])];
      if (leaving.length > MAX_LEAVING)
        throw new StoreUnavailableError("too many channels are still to be left");
      const row = {
        ...wanted,
        changedAt: isRenewal ? before.changedAt : clock.now(),
        leaving: [...new Set(leaving)].filter((channelKey) => channelKey !== wanted.channelKey),
      };
      if ((await store.writeInstallation(row, found?.etag, signal)) !== "written") return undefined;
      return { row, ...(before === undefined ? {} : { before }) };
    };
    return untilWon(tryOnce, CHANGED_TOO_OFTEN, signal);
  }

  /** Whether a user has more installations than are allowed, and this one is not among the oldest of them. */
  async function isTooMany(row: InstallationRow, signal: AbortSignal): Promise<boolean> {
    const rows = await store.listInstallations(row.recipientKey, signal);
    const live = toLive(rows);
    const older = live.filter((other) => toRank(other) < toRank(row));
    return live.length > limits.maxInstallations && older.length >= limits.maxInstallations;
  }

  async function remove(
    holder: ChannelHolder,
    log: Log,
    signal: AbortSignal,
  ): Promise<Result<void, Failure>> {
    const held = new Set<ChannelKey>();
    const tryOnce = async (): Promise<Result<void, Failure> | undefined> => {
      const found = await store.readInstallation(holder, signal);
      if (found?.value !== undefined)
        for (const channelKey of [found.value.channelKey, ...found.value.leaving]) held.add(channelKey);
      const left = await channels.leave([...held], holder, log, signal);
      if (!left.ok) return left;
      const isGone =
        found === undefined || (await store.deleteInstallation(holder, found.etag, signal)) === "written";
      // A registration at the same time may have claimed again what was just left.
      const isHeld = await mapBounded([...held], MAX_PARALLEL_READS, (channelKey) =>
        channels.isHeldBy(channelKey, holder, signal),
      );
      return isGone && !isHeld.includes(true) ? ok(undefined) : undefined;
    };
    return untilWon(tryOnce, CHANGED_TOO_OFTEN, signal);
  }

  /** Puts back what stood before a registration that is refused, unless it has changed meanwhile. */
  async function undo(
    row: InstallationRow,
    before: InstallationRow | undefined,
    log: Log,
    signal: AbortSignal,
  ): Promise<Result<void, Failure>> {
    await channels.giveBack(row.channelKey, row, signal);
    if (before === undefined || before.channelKey === row.channelKey) return remove(row, log, signal);
    const found = await store.readInstallation(row, signal);
    if (found?.value?.channelKey === row.channelKey)
      await store.writeInstallation(before, found.etag, signal);
    return channels.settle(row.channelKey, "ifNeeded", log, signal);
  }

  /** Removes a row exactly as it was written: it is sealed otherwise each time. */
  async function removeOwn(row: InstallationRow, signal: AbortSignal): Promise<void> {
    const found = await store.readInstallation(row, signal);
    if (
      found?.value !== undefined &&
      Buffer.from(row.sealedPushChannel).equals(found.value.sealedPushChannel)
    )
      await store.deleteInstallation(row, found.etag, signal);
  }

  /** Somebody newer has our channel: they may have looked for our row before it stood, or have failed half way. */
  async function giveWay(
    row: InstallationRow,
    log: Log,
    signal: AbortSignal,
  ): Promise<Result<void, Failure>> {
    const settled = await channels.settle(row.channelKey, "ifNeeded", log, signal);
    if (!settled.ok) return err({ reason: "hub_unavailable", retryAfterSeconds: RETRY_AFTER_SECONDS });
    if (!(await channels.isHeldBy(row.channelKey, row, signal))) await removeOwn(row, signal);
    return ok(undefined);
  }

  /** Leaves the channels that a row says it has left, and has it say so no more. */
  async function tidy(row: InstallationRow, log: Log, signal: AbortSignal): Promise<Result<void, Failure>> {
    if (row.leaving.length === 0) return ok(undefined);
    const before = (await store.readInstallation(row, signal))?.value;
    const left = row.leaving.filter((channelKey) => channelKey !== before?.channelKey); // not what it has again
    const done = await channels.leave(left, row, log, signal);
    if (!done.ok) return done;
    const found = await store.readInstallation(row, signal);
    if (found?.value !== undefined) {
      const leaving = found.value.leaving.filter((channelKey) => !left.includes(channelKey));
      // One that has changed meanwhile is tidied by whoever changed it.
      await store.writeInstallation({ ...found.value, leaving }, found.etag, signal);
    }
    return ok(undefined);
  }

  return {
    register: async (userId, installationId, { platform, pushChannel }, log, signal) => {
      if (!hub.platforms.includes(platform)) return err({ reason: "platform_not_served" });
      const purposes = await keyring.purposes(signal);
      const holder = { recipientKey: purposes.toRecipientKey(userId), installationId };
      const channelKey = purposes.toChannelKey(platform, toAddress(platform, pushChannel));
      const [own, all] = await both(
        store.readInstallation(holder, signal),
        store.listInstallations(holder.recipientKey, signal),
      );
      const isNew = own === undefined;
      // One that was not renewed in time counts no more, and so counts anew.
      const isAdded = own?.value === undefined || !isLive(own.value);
      if (isAdded && toLive(all).length >= limits.maxInstallations)
        return err({ reason: "installations_exhausted" });

      const tryOnce = async (): Promise<Result<Registered, Failure> | undefined> => {
        // Where the hub may not have heard of it yet, the device is as new.
        const isKnown = await channels.isSettledFor(channelKey, holder, signal);
        await channels.claim(channelKey, holder, signal);
        const sealed = sealChannel(purposes, holder, pushChannel);
        const { row, before } = await writeOwn(
          { ...holder, platform, channelKey, sealedPushChannel: sealed, renewedAt: clock.now() },
          isKnown,
          signal,
        );
        if (isAdded && (await isTooMany(row, signal))) {
          const undone = await undo(row, before, log, signal);
          return undone.ok ? err({ reason: "installations_exhausted" }) : undone;
        }
        const settled = await channels.settle(channelKey, "always", log, signal);
        if (!settled.ok) {
          if (settled.error.reason !== "push_channel_refused") return settled;
          const undone = await undo(row, before, log, signal);
          return undone.ok ? settled : undone;
        }
        const tidied = await tidy(row, log, signal);
        if (!tidied.ok) return tidied;
        const now = (await store.readChannel(channelKey, signal))?.value.holder;
        // Where nobody has it, a removal came between, and we are newer.
        if (now === undefined) return undefined;
        if (!isSameHolder(now, holder)) {
          const given = await giveWay(row, log, signal);
          if (!given.ok) return given;
        }
        log.info("installation_registered", { platform, isNew });
        return ok({ installationId, expiresAt: toExpiresAt(row), isNew });
      };
      return untilWon(tryOnce, CHANGED_TOO_OFTEN, signal);
    },

    remove: async (userId, installationId, log, signal) => {
      const purposes = await keyring.purposes(signal);
      const removed = await remove(
        { recipientKey: purposes.toRecipientKey(userId), installationId },
        log,
        signal,
      );
      if (removed.ok) log.info("installation_removed");
      return removed;
    },

    listDevices: async (recipientKey, log, signal) => {
      const purposes = await keyring.purposes(signal);
      const rows = await store.listInstallations(recipientKey, signal);
      if (rows.some(({ value }) => value === undefined)) log.error("row_damaged", { table: "installations" });
      const live = toLive(rows);
      const now = clock.now();
      const held = await mapBounded(live, MAX_PARALLEL_READS, (row) =>
        isFresh(row, now) ? channels.isHeldBy(row.channelKey, row, signal) : Promise.resolve(true),
      );
      return live
        .filter((_row, i) => held[i])
        .map((row) => ({ ...row, openChannel: () => openChannel(purposes, row) }));
    },
  };
}

/** Older first. */
function toRank({ changedAt, installationId }: InstallationRow): string {
  return `${changedAt.toISOString()} ${installationId}`;
}
