// Registering and removing devices. A push channel serves one user and one installation: newest wins (P7). I/O
// through the store and the hub that are handed in.
import type { Clock } from "./clock.ts";
import type { Limits } from "./config.ts";
import type { ChannelKey, Keyring, PurposeKeys, RecipientKey } from "./crypto/keyring.ts";
import { open, seal, toContext } from "./crypto/seal.ts";
import { DAY_MS } from "./id.ts";
import type { Log } from "./log.ts";
import type {
  InstallationId,
  InstallationRequest,
  PushChannel,
  Subscription,
  UserId,
} from "./notification.ts";
import type { Failure } from "./problem.ts";
import { reportOutcome, toFailure } from "./push/outcome.ts";
import type { HubSender } from "./push/sender.ts";
import { err, ok, type Result } from "./result.ts";
import type { ChannelHolder, InstallationRow, Store, Versioned } from "./store/store.ts";

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
  /** The devices of a recipient that were renewed in time, with the address that each is reached at. */
  readonly listDevices: (recipientKey: RecipientKey, signal: AbortSignal) => Promise<readonly Device[]>;
}

export interface Device extends InstallationRow {
  /** Opens the sealed push channel; throws where the row was altered. */
  readonly openChannel: () => PushChannel;
}

export interface InstallationsOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly hub: HubSender;
  readonly clock: Clock;
  readonly limits: Limits;
}

const MAX_RACES = 10;

export function createInstallations(options: InstallationsOptions): Installations {
  const { store, keyring, hub, clock, limits } = options;

  const toExpiresAt = ({ renewedAt }: InstallationRow) =>
    new Date(renewedAt.getTime() + limits.installationTtlDays * DAY_MS);
  const isLive = (row: InstallationRow) => toExpiresAt(row) > clock.now();

  /** Claims a channel for a holder, whoever had it; answers who that was. */
  async function claim(
    channelKey: ChannelKey,
    holder: ChannelHolder,
    signal: AbortSignal,
  ): Promise<ChannelHolder | undefined> {
    for (let race = 0; race < MAX_RACES; race++) {
      const before = await store.readChannel(channelKey, signal);
      if (isSameHolder(before?.value, holder)) return undefined;
      if ((await store.writeChannel(channelKey, holder, before?.etag, signal)) === "written")
        return before?.value;
    }
    throw new Error("a push channel was claimed too often at once");
  }

  /** Makes a channel name nobody, if it still names this holder. */
  async function free(channelKey: ChannelKey, holder: ChannelHolder, signal: AbortSignal): Promise<void> {
    for (let race = 0; race < MAX_RACES; race++) {
      const before = await store.readChannel(channelKey, signal);
      if (!isSameHolder(before?.value, holder)) return;
      if ((await store.writeChannel(channelKey, undefined, before?.etag, signal)) === "written") return;
    }
    throw new Error("a push channel changed hands too often at once");
  }

  /** Removes the rows that hold a channel which names somebody else; false where one changed meanwhile. */
  async function removeDisplaced(
    channelKey: ChannelKey,
    rows: readonly ChannelHolder[],
    named: ChannelHolder | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    let isDone = true;
    for (const holder of rows) {
      if (isSameHolder(named, holder)) continue;
      const row = await store.readInstallation(holder, signal);
      if (row?.value.channelKey !== channelKey) continue;
      if ((await store.deleteInstallation(holder, row.etag, signal)) === "changed") isDone = false;
    }
    return isDone;
  }

  /** Brings the hub to what a `channels` row says. */
  async function tellHub(
    channelKey: ChannelKey,
    named: ChannelHolder | undefined,
    log: Log,
    signal: AbortSignal,
  ): Promise<Failure | undefined> {
    if (named === undefined) {
      const outcome = await hub.deleteInstallation(channelKey, signal);
      reportOutcome(log, outcome, "hub_installation_deleted");
      return toFailure(outcome);
    }
    const held = await store.readInstallation(named, signal);
    // Named but not written yet: whoever claimed it is still at work, and settles it then.
    if (held?.value.channelKey !== channelKey) return undefined;
    const purposes = await keyring.purposes(signal);
    const outcome = await hub.putInstallation(toHubInstallation(purposes, held.value), signal);
    reportOutcome(log, outcome, "hub_installation_put");
    return outcome.kind === "message" ? { reason: "push_channel_refused" } : toFailure(outcome);
  }

  /**
   * Brings hub and rows to what the `channels` row says, until it says the same before and after. Any number may
   * settle one channel at once: each ends with what is true then. The hub comes first: a row that still stands is
   * what a caller's next try goes by.
   */
  async function settle(
    channelKey: ChannelKey,
    rows: readonly ChannelHolder[],
    log: Log,
    signal: AbortSignal,
  ): Promise<Result<void, Failure>> {
    for (let race = 0; race < MAX_RACES; race++) {
      const before = await store.readChannel(channelKey, signal);
      const failure = await tellHub(channelKey, before?.value, log, signal);
      if (failure !== undefined) return err(failure);
      const isClean = await removeDisplaced(channelKey, rows, before?.value, signal);
      const after = await store.readChannel(channelKey, signal);
      if (!isClean || after?.etag !== before?.etag) continue;
      if (after === undefined || after.value !== undefined) return ok(undefined);
      if ((await store.deleteChannel(channelKey, after.etag, signal)) === "written") return ok(undefined);
    }
    throw new Error("a push channel changed hands too often at once");
  }

  const toHubInstallation = (purposes: PurposeKeys, row: InstallationRow) => ({
    channelKey: row.channelKey,
    recipientKey: row.recipientKey,
    platform: row.platform,
    channel: openChannel(purposes, row),
    expiresAt: toExpiresAt(row),
  });

  async function writeOwn(
    row: InstallationRow,
    known: Versioned<InstallationRow> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    let before = known;
    for (let race = 0; race < MAX_RACES; race++) {
      if ((await store.writeInstallation(row, before?.etag, signal)) === "written") return;
      before = await store.readInstallation(row, signal);
    }
    throw new Error("an installation changed too often at once");
  }

  async function forget(
    channelKey: ChannelKey,
    holder: ChannelHolder,
    log: Log,
    signal: AbortSignal,
  ): Promise<Result<void, Failure>> {
    await free(channelKey, holder, signal);
    return settle(channelKey, [holder], log, signal);
  }

  return {
    register: async (userId, installationId, { platform, pushChannel }, log, signal) => {
      if (!hub.platforms.includes(platform)) return err({ reason: "platform_not_served" });
      const purposes = await keyring.purposes(signal);
      const recipientKey = purposes.toRecipientKey(userId);
      const holder = { recipientKey, installationId };
      const channelKey = purposes.toChannelKey(platform, toAddress(platform, pushChannel));
      const rows = await store.listInstallations(recipientKey, signal);
      const known = rows.find((row) => row.value.installationId === installationId);
      const others = rows.filter((row) => row !== known && isLive(row.value));
      if (others.length >= limits.maxInstallations) return err({ reason: "installations_exhausted" });

      const displaced = await claim(channelKey, holder, signal);
      const oldChannel = known?.value.channelKey;
      const hasMoved = oldChannel !== undefined && oldChannel !== channelKey;
      if (hasMoved) await free(oldChannel, holder, signal);

      const now = clock.now();
      const isRenewal = oldChannel === channelKey && displaced === undefined;
      const row: InstallationRow = {
        ...holder,
        platform,
        channelKey,
        sealedPushChannel: seal(
          purposes.channelSealingKey,
          toChannelContext(holder),
          Buffer.from(JSON.stringify(pushChannel), "utf8"),
        ),
        changedAt: isRenewal && known !== undefined ? known.value.changedAt : now,
        renewedAt: now,
      };
      const touched = displaced === undefined ? [holder] : [displaced, holder];
      // The former owner's row first: from here on nothing for them goes to this channel.
      await removeDisplaced(channelKey, touched, holder, signal);
      await writeOwn(row, known, signal);
      const settled = await settle(channelKey, touched, log, signal);
      if (!settled.ok) {
        if (settled.error.reason === "push_channel_refused") await forget(channelKey, holder, log, signal);
        return settled;
      }
      if (hasMoved) {
        const old = await settle(oldChannel, [], log, signal);
        if (!old.ok) return old;
      }
      log.info("installation_registered", { platform, isNew: known === undefined });
      return ok({ installationId, expiresAt: toExpiresAt(row), isNew: known === undefined });
    },

    remove: async (userId, installationId, log, signal) => {
      const purposes = await keyring.purposes(signal);
      const holder = { recipientKey: purposes.toRecipientKey(userId), installationId };
      const row = await store.readInstallation(holder, signal);
      if (row === undefined) return ok(undefined);
      const settled = await forget(row.value.channelKey, holder, log, signal);
      if (settled.ok) log.info("installation_removed");
      return settled;
    },

    listDevices: async (recipientKey, signal) => {
      const purposes = await keyring.purposes(signal);
      const rows = await store.listInstallations(recipientKey, signal);
      return rows
        .map(({ value }) => value)
        .filter(isLive)
        .map((row) => ({ ...row, openChannel: () => openChannel(purposes, row) }));
    },
  };
}

function isSameHolder(a: ChannelHolder | undefined, b: ChannelHolder): boolean {
  return a?.recipientKey === b.recipientKey && a.installationId === b.installationId;
}

/**
 * What makes two push channels the same device: a browser's endpoint alone (its keys are remade), an APNs token
 * in either case, a normalised URI, else the token.
 */
function toAddress(platform: InstallationRequest["platform"], channel: PushChannel): string {
  if (typeof channel !== "string") return new URL(channel.endpoint).href;
  if (platform === "apns") return channel.toLowerCase();
  if (platform === "wns" || platform === "mpns") return new URL(channel).href;
  return channel;
}

function toChannelContext({ recipientKey, installationId }: ChannelHolder): Buffer {
  return toContext("push channel", recipientKey, installationId);
}

function openChannel(purposes: PurposeKeys, row: InstallationRow): PushChannel {
  const plain = open(purposes.channelSealingKey, toChannelContext(row), row.sealedPushChannel);
  if (plain === undefined) throw new Error("an installation's push channel does not open");
  return JSON.parse(plain.toString("utf8")) as string | Subscription; // sealed by us, after parsing
}
