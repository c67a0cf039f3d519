// Registering and removing devices, and listing them for a push. I/O through the store and the hub that are handed in.
import type { CallContext } from "../base/context.ts";
import { type Channels, createChannels, isSameHolder } from "./channels.ts";
import type { Clock } from "../base/clock.ts";
import type { Limits } from "../config/config.ts";
import type { ChannelKey, Keyring, PurposeKeys, RecipientKey } from "../crypto/keyring.ts";
import { both, mapBounded } from "../base/deadline.ts";
import { createListDevices, type Device, type ListDevices } from "./devices.ts";
import { DAY_MS } from "../domain/id.ts";
import type { InstallationId, InstallationRequest, PushChannel, UserId } from "../domain/notification.ts";
import type { Failure } from "../problem.ts";
import type { HubSender } from "../push/sender.ts";
import { openChannel, sealChannel, toAddress } from "./pushChannel.ts";
import { untilWon } from "../store/race.ts";
import { err, ok, type Result } from "../base/result.ts";
import { createTasks, type HeldTask } from "../outbox/tasks.ts";
import {
  type ChannelHolder,
  type SettleWork,
  type InstallationRow,
  type Store,
  StoreUnavailableError,
  type Versioned,
} from "../store/store.ts";

interface Registered {
  readonly installationId: InstallationId;
  /** Not known to the hub yet, which cannot be reached: the outbox brings it there. */
  readonly isPending: boolean;
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
    context: CallContext,
  ) => Promise<Result<Registered, Failure>>;
  /** Removing what is not there is no failure. A hub that cannot be reached follows by the outbox. */
  readonly remove: (userId: UserId, installationId: InstallationId, context: CallContext) => Promise<void>;
  /** Removes every installation of a recipient that was last written before that. */
  readonly removeAll: (recipientKey: RecipientKey, before: Date, context: CallContext) => Promise<void>;
  /** Removes a device that its push service calls gone, unless it has been written since it was listed (R117). */
  readonly forget: (device: Device, context: CallContext) => Promise<void>;
  /** Completes what a registration, a move or a removal has left; a failure leaves the rest to the next try. */
  readonly settle: (task: SettleWork, context: CallContext) => Promise<Result<void, Failure>>;
  /** Settles the push channels of a recipient's devices, where they are not; false where the hub cannot be told now. */
  readonly settleDevices: (recipientKey: RecipientKey, context: CallContext) => Promise<boolean>;
  readonly listDevices: ListDevices;
}

export interface InstallationsOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly hub: HubSender;
  readonly clock: Clock;
  readonly limits: Limits;
}

/** What a try at a registration came to; left: something of it is for redelivery to complete. */
interface Try {
  readonly row: InstallationRow;
  readonly isLeft: boolean;
  readonly failure?: Failure;
}

const CHANGED_TOO_OFTEN = "an installation changed too often at once";
const MAX_PARALLEL_READS = 8;
/** Moves that the hub was not told of; a row holds no more. */
const MAX_LEAVING = 50;
const RETRY_AFTER_SECONDS = 5;

export function createInstallations(options: InstallationsOptions): Installations {
  const { store, keyring, hub, clock, limits } = options;
  const tasks = createTasks({ store, clock });

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

  /**
   * Removes an installation, or exactly one version of it. Its row goes first, so that nothing more is pushed to it
   * directly; then its channels are freed, and the hub is told. What a failure leaves, the task completes.
   */
  async function remove(
    holder: ChannelHolder,
    only: string | undefined,
    { log, signal }: CallContext,
  ): Promise<"removed" | "kept"> {
    let task: HeldTask | undefined;
    const held = new Set<ChannelKey>();
    const tryOnce = async (): Promise<"removed" | "kept" | undefined> => {
      const found = await store.readInstallation(holder, signal);
      if (found !== undefined && only !== undefined && found.etag !== only) return "kept";
      const channelKeys = found?.value === undefined ? [] : [found.value.channelKey, ...found.value.leaving];
      const isMore = channelKeys.some((channelKey) => !held.has(channelKey));
      for (const channelKey of channelKeys) held.add(channelKey);
      // One task names all that has to be left; where a race brings more, a newer one does.
      if (isMore) {
        const wider = await tasks.begin(
          { kind: "settle", holder: toHolder(holder), channelKeys: [...held] },
          signal,
        );
        await task?.done({ log, signal });
        task = wider;
      }
      if (found !== undefined && (await store.deleteInstallation(holder, found.etag, signal)) !== "written")
        return undefined;
      const freed = [...held];
      await mapBounded(freed, MAX_PARALLEL_READS, (channelKey) => channels.free(channelKey, holder, signal));
      // A registration at the same time may have written its row before that.
      return (await store.readInstallation(holder, signal)) === undefined ? "removed" : undefined;
    };
    const outcome = await untilWon(tryOnce, CHANGED_TOO_OFTEN, signal);
    const settled = await channels.leave([...held], holder, "ifNeeded", { log, signal });
    if (settled.ok) await task?.done({ log, signal });
    else await task?.leave({ log, signal });
    return outcome;
  }

  /** Puts back what stood before a registration that is refused, unless it has changed meanwhile. */
  async function undo(
    row: InstallationRow,
    before: InstallationRow | undefined,
    { log, signal }: CallContext,
  ): Promise<Result<void, Failure>> {
    await channels.giveBack(row.channelKey, row, signal);
    if (before === undefined || before.channelKey === row.channelKey) {
      await remove(row, undefined, { log, signal });
      return ok(undefined);
    }
    const found = await store.readInstallation(row, signal);
    if (found?.value?.channelKey === row.channelKey)
      await store.writeInstallation(before, found.etag, signal);
    return channels.settle(row.channelKey, "ifNeeded", { log, signal });
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
  async function giveWay(row: InstallationRow, { log, signal }: CallContext): Promise<Result<void, Failure>> {
    const settled = await channels.settle(row.channelKey, "ifNeeded", { log, signal });
    if (!settled.ok) return err({ reason: "hub_unavailable", retryAfterSeconds: RETRY_AFTER_SECONDS });
    if (!(await channels.isHeldBy(row.channelKey, row, signal))) await removeOwn(row, signal);
    return ok(undefined);
  }

  /** Leaves the channels that a row says it has left, and has it say so no more. */
  async function tidy(row: InstallationRow, { log, signal }: CallContext): Promise<Result<void, Failure>> {
    if (row.leaving.length === 0) return ok(undefined);
    const before = (await store.readInstallation(row, signal))?.value;
    const left = row.leaving.filter((channelKey) => channelKey !== before?.channelKey); // not what it has again
    const done = await channels.leave(left, row, "ifNeeded", { log, signal });
    if (!done.ok) return done;
    const found = await store.readInstallation(row, signal);
    if (found?.value !== undefined) {
      const leaving = found.value.leaving.filter((channelKey) => !left.includes(channelKey));
      // One that has changed meanwhile is tidied by whoever changed it.
      await store.writeInstallation({ ...found.value, leaving }, found.etag, signal);
    }
    return ok(undefined);
  }

  /** Settles a device's channel; where the hub hears of it only now, it counts as new from now on. */
  async function settleKnown(
    row: InstallationRow,
    how: "always" | "ifNeeded",
    { log, signal }: CallContext,
  ): Promise<Result<void, Failure>> {
    const standing = await channels.readStanding(row.channelKey, row, signal);
    const settled = await channels.settle(row.channelKey, how, { log, signal });
    if (!settled.ok || standing !== "unsettled") return settled;
    const found = await store.readInstallation(row, signal);
    // One that has changed meanwhile says by itself how new it is.
    if (found?.value?.channelKey === row.channelKey)
      await store.writeInstallation({ ...found.value, changedAt: clock.now() }, found.etag, signal);
    return settled;
  }

  /** One try at a registration; nothing where others were faster in a way that has it begin anew. */
  async function claimAndSettle(
    purposes: PurposeKeys,
    wanted: Pick<InstallationRow, "recipientKey" | "installationId" | "platform" | "channelKey">,
    pushChannel: PushChannel,
    isAdded: boolean,
    { log, signal }: CallContext,
  ): Promise<Try | undefined> {
    const { channelKey } = wanted;
    const holder = toHolder(wanted);
    // Where the hub may not have heard of it yet, the device is as new.
    const isKnown = (await channels.readStanding(channelKey, holder, signal)) === "settled";
    await channels.claim(channelKey, holder, signal);
    const sealedPushChannel = sealChannel(purposes, holder, pushChannel);
    const own = { ...wanted, sealedPushChannel, renewedAt: clock.now() };
    const { row, before } = await writeOwn(own, isKnown, signal);
    if (isAdded && (await isTooMany(row, signal))) {
      const undone = await undo(row, before, { log, signal });
      return { row, isLeft: !undone.ok, failure: { reason: "installations_exhausted" } };
    }
    const settled = await channels.settle(channelKey, "always", { log, signal });
    if (!settled.ok) {
      if (settled.error.reason !== "push_channel_refused") return { row, isLeft: true };
      const undone = await undo(row, before, { log, signal });
      return { row, isLeft: !undone.ok, failure: settled.error };
    }
    const tidied = await tidy(row, { log, signal });
    if (!tidied.ok) return { row, isLeft: true };
    const now = (await store.readChannel(channelKey, signal))?.value.holder;
    // Where nobody has it, a removal came between, and we are newer.
    if (now === undefined) return undefined;
    if (isSameHolder(now, holder)) return { row, isLeft: false };
    const given = await giveWay(row, { log, signal });
    return { row, isLeft: !given.ok };
  }

  return {
    register: async (userId, installationId, { platform, pushChannel }, { log, signal }) => {
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

      const task = await tasks.begin({ kind: "settle", holder, channelKeys: [channelKey] }, signal);
      const registered = await untilWon(
        () =>
          claimAndSettle(purposes, { ...holder, platform, channelKey }, pushChannel, isAdded, {
            log,
            signal,
          }),
        CHANGED_TOO_OFTEN,
        signal,
      );
      if (registered.isLeft) await task.leave({ log, signal });
      else await task.done({ log, signal });
      if (registered.failure !== undefined) return err(registered.failure);
      const isPending = registered.isLeft;
      log.info("installation_registered", { platform, isNew, isPending });
      return ok({ installationId, expiresAt: toExpiresAt(registered.row), isNew, isPending });
    },

    remove: async (userId, installationId, { log, signal }) => {
      const purposes = await keyring.purposes(signal);
      await remove({ recipientKey: purposes.toRecipientKey(userId), installationId }, undefined, {
        log,
        signal,
      });
      log.info("installation_removed");
    },

    removeAll: async (recipientKey, before, { log, signal }) => {
      const rows = await store.listInstallations(recipientKey, signal);
      // One that this code cannot read has no time.
      const earlier = rows.filter(
        ({ value }) => value === undefined || (value.changedAt < before && value.renewedAt < before),
      );
      await mapBounded(earlier, MAX_PARALLEL_READS, ({ holder, etag }) =>
        remove(holder, etag, { log, signal }),
      );
    },

    forget: async (device, { log, signal }) => {
      if ((await remove(device, device.etag, { log, signal })) === "removed")
        log.info("installation_forgotten", { platform: device.platform });
    },

    settle: async ({ holder, channelKeys }, { log, signal }) => {
      const row = (await store.readInstallation(holder, signal))?.value;
      const left = [...channelKeys, ...(row?.leaving ?? [])].filter((one) => one !== row?.channelKey);
      // Also what the hub may have heard behind the back of whoever removed it.
      const freed = await channels.leave([...new Set(left)], holder, "always", { log, signal });
      if (!freed.ok || row === undefined) return freed;
      const settled = await settleKnown(row, "always", { log, signal });
      if (!settled.ok) {
        if (settled.error.reason !== "push_channel_refused") return settled;
        log.warn("installation_refused", { platform: row.platform });
        await remove(holder, undefined, { log, signal });
        return ok(undefined);
      }
      const tidied = await tidy(row, { log, signal });
      if (!tidied.ok || (await channels.isHeldBy(row.channelKey, holder, signal))) return tidied;
      return giveWay(row, { log, signal });
    },

    settleDevices: async (recipientKey, { log, signal }) => {
      const rows = (await store.listInstallations(recipientKey, signal)).map(({ value }) => value);
      const settled = await mapBounded(
        rows.filter((row) => row !== undefined),
        MAX_PARALLEL_READS,
        (row) => settleKnown(row, "ifNeeded", { log, signal }),
      );
      // One that the hub refuses reaches nobody.
      return settled.every((one) => one.ok || one.error.reason === "push_channel_refused");
    },

    listDevices: createListDevices({ store, keyring, channels, isLive }),
  };
}

function toHolder({ recipientKey, installationId }: ChannelHolder): ChannelHolder {
  return { recipientKey, installationId };
}

/** Older first. */
function toRank({ changedAt, installationId }: InstallationRow): string {
  return `${changedAt.toISOString()} ${installationId}`;
}
