// Who holds a push channel. A channel serves one user and one installation: newest wins (P7). Its row in `channels` is
// the truth and its own journal: until it says that it is settled, the hub may still think otherwise, and rows of
// former holders may still stand; whoever touches the channel next completes that. I/O through what is handed in.
import type { CallContext } from "../base/context.ts";
import type { ChannelKey } from "../crypto/keyring.ts";
import type { Failure } from "../problem.ts";
import { reportOutcome, toFailure } from "../push/outcome.ts";
import type { HubInstallation, HubSender } from "../push/sender.ts";
import { untilWon } from "../store/race.ts";
import { err, ok, type Result } from "../base/result.ts";
import { type ChannelHolder, type ChannelRow, type Store, type Versioned } from "../store/store.ts";

export interface Channels {
  /** Makes a channel name this holder, whoever had it. */
  readonly claim: (channelKey: ChannelKey, holder: ChannelHolder, signal: AbortSignal) => Promise<void>;
  /** Undoes a claim: whoever was displaced last holds the channel again. */
  readonly giveBack: (channelKey: ChannelKey, holder: ChannelHolder, signal: AbortSignal) => Promise<void>;
  /** Makes a channel name nobody, if it still names this holder. */
  readonly free: (channelKey: ChannelKey, holder: ChannelHolder, signal: AbortSignal) => Promise<void>;
  /** Makes channels name nobody, where they still name this holder, and settles them. */
  readonly leave: (
    channelKeys: readonly ChannelKey[],
    holder: ChannelHolder,
    how: "always" | "ifNeeded",
    context: CallContext,
  ) => Promise<Result<void, Failure>>;
  /**
   * Brings the hub, and the rows of former holders, to what the channel's row says, until it says the same before and
   * after. Any number may settle one channel at once: each ends with what is true then. `always` tells the hub of a
   * settled one too (a renewal). A failure leaves the rest to the next one.
   */
  readonly settle: (
    channelKey: ChannelKey,
    how: "always" | "ifNeeded",
    context: CallContext,
  ) => Promise<Result<void, Failure>>;
  readonly isHeldBy: (channelKey: ChannelKey, holder: ChannelHolder, signal: AbortSignal) => Promise<boolean>;
  /** Whether it is held by them, and whether the hub is known to know it. */
  readonly readStanding: (
    channelKey: ChannelKey,
    holder: ChannelHolder,
    signal: AbortSignal,
  ) => Promise<"settled" | "unsettled" | "another's">;
}

export interface ChannelsOptions {
  readonly store: Store;
  readonly hub: HubSender;
  /** What the hub is to know of a holder, if their row stands, holds this channel and opens. */
  readonly readHubInstallation: (
    holder: ChannelHolder,
    channelKey: ChannelKey,
    signal: AbortSignal,
  ) => Promise<HubInstallation | undefined>;
}

/** Of a row with its holder, who can only be renewing it. */
const MAX_RACES = 20;
const CHANGED_TOO_OFTEN = "a push channel changed hands too often at once";
const RETRY_AFTER_SECONDS = 30;

export function createChannels({ store, hub, readHubInstallation }: ChannelsOptions): Channels {
  /** Changes a channel's row under its etag, as `decide` says of what it reads; nothing to change ends it. */
  async function change(
    channelKey: ChannelKey,
    decide: (row: ChannelRow | undefined) => ChannelRow | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const tryOnce = async () => {
      const before = await store.readChannel(channelKey, signal);
      const row = decide(before?.value);
      if (row === undefined) return true;
      const outcome = await store.writeChannel(channelKey, row, before?.etag, signal);
      return outcome === "written" ? true : undefined;
    };
    await untilWon(tryOnce, CHANGED_TOO_OFTEN, signal);
  }

  async function tellHub(
    channelKey: ChannelKey,
    holder: ChannelHolder | undefined,
    { log, signal }: CallContext,
  ): Promise<Failure | undefined> {
    // A holder without a row for it is still at work, and tells the hub later; until then the hub knows nobody.
    const installation = holder && (await readHubInstallation(holder, channelKey, signal));
    const outcome =
      installation === undefined
        ? await hub.deleteInstallation(channelKey, signal)
        : await hub.putInstallation(installation, signal);
    reportOutcome(
      log,
      outcome,
      installation === undefined ? "hub_installation_deleted" : "hub_installation_put",
    );
    if (outcome.kind !== "message") return toFailure(outcome);
    // A refused deletion has not deleted: the device is still there.
    if (installation === undefined)
      return { reason: "hub_unavailable", retryAfterSeconds: RETRY_AFTER_SECONDS };
    return { reason: "push_channel_refused" };
  }

  /** Removes the rows of former holders that still hold this channel. */
  async function removeDisplaced(
    channelKey: ChannelKey,
    row: ChannelRow,
    visiting: Set<ChannelKey>,
    { log, signal }: CallContext,
  ): Promise<Failure | undefined> {
    for (const holder of row.displaced) {
      for (let race = 0; race < MAX_RACES; race++) {
        const found = await store.readInstallation(holder, signal);
        if (found?.value?.channelKey !== channelKey) break;
        // Read after the row: whoever has taken the channel again since then has changed the row too.
        const now = await store.readChannel(channelKey, signal);
        if (isSameHolder(now?.value.holder, holder)) break;
        // What it has left, and nobody has seen to yet, would be forgotten with it.
        const left = await leaveAll(found.value.leaving, holder, "ifNeeded", visiting, { log, signal });
        if (!left.ok) return left.error;
        if ((await store.deleteInstallation(holder, found.etag, signal)) === "written") break;
      }
    }
    return undefined;
  }

  /** Records that a channel is settled as it was read; false where it has changed meanwhile. */
  async function record(
    channelKey: ChannelKey,
    before: Versioned<ChannelRow> | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (before === undefined || before.value.isSettled)
      return (await store.readChannel(channelKey, signal))?.etag === before?.etag;
    const { holder } = before.value;
    const outcome =
      holder === undefined
        ? await store.deleteChannel(channelKey, before.etag, signal)
        : await store.writeChannel(
            channelKey,
            { holder, displaced: [], isSettled: true },
            before.etag,
            signal,
          );
    return outcome === "written";
  }

  /** Makes a channel name nobody, if it still names this holder; their row goes when it is settled. */
  function free(channelKey: ChannelKey, holder: ChannelHolder, signal: AbortSignal): Promise<void> {
    return change(
      channelKey,
      (row) =>
        row !== undefined && isSameHolder(row.holder, holder)
          ? { displaced: [...row.displaced, holder], isSettled: false }
          : undefined,
      signal,
    );
  }

  async function leaveAll(
    channelKeys: readonly ChannelKey[],
    holder: ChannelHolder,
    how: "always" | "ifNeeded",
    visiting: Set<ChannelKey>,
    { log, signal }: CallContext,
  ): Promise<Result<void, Failure>> {
    for (const channelKey of channelKeys) {
      await free(channelKey, holder, signal);
      // Being settled further up, which sees that it has changed: two that have left each other's would never end.
      if (visiting.has(channelKey)) continue;
      const settled = await settleOne(channelKey, how, visiting, { log, signal });
      if (settled.ok) continue;
      if (settled.error.reason !== "push_channel_refused") return settled;
      // The hub refuses whoever claims it now, which is their affair; what it holds of us has to go all the same.
      const failure = await tellHub(channelKey, undefined, { log, signal });
      if (failure !== undefined) return err(failure);
    }
    return ok(undefined);
  }

  async function settleOne(
    channelKey: ChannelKey,
    how: "always" | "ifNeeded",
    visiting: Set<ChannelKey>,
    { log, signal }: CallContext,
  ): Promise<Result<void, Failure>> {
    visiting.add(channelKey);
    let mustTell = how === "always";
    const tryOnce = async (): Promise<Result<void, Failure> | undefined> => {
      const before = await store.readChannel(channelKey, signal);
      if (!mustTell && (before === undefined || before.value.isSettled)) return ok(undefined);
      // The hub first: while it has not heard of the new holder, the former one's row stands, by which they
      // can still be rid of the channel.
      const failure = await tellHub(channelKey, before?.value.holder, { log, signal });
      if (failure !== undefined) {
        // It may have taken effect all the same: where another holds the channel by now, the hub has to hear of them.
        if ((await store.readChannel(channelKey, signal))?.etag === before?.etag) return err(failure);
        mustTell = true;
        return undefined;
      }
      mustTell = true; // what we told may be older than what another has meanwhile
      const kept = before && (await removeDisplaced(channelKey, before.value, visiting, { log, signal }));
      if (kept !== undefined) return err(kept);
      return (await record(channelKey, before, signal)) ? ok(undefined) : undefined;
    };
    return untilWon(tryOnce, CHANGED_TOO_OFTEN, signal);
  }

  return {
    claim: (channelKey, holder, signal) =>
      change(
        channelKey,
        (row) => {
          if (isSameHolder(row?.holder, holder)) return undefined;
          const former = [...(row?.displaced ?? []), ...(row?.holder === undefined ? [] : [row.holder])];
          return {
            holder,
            displaced: former.filter((other) => !isSameHolder(other, holder)),
            isSettled: false,
          };
        },
        signal,
      ),
    giveBack: (channelKey, holder, signal) =>
      change(
        channelKey,
        (row) => {
          if (row === undefined || !isSameHolder(row.holder, holder)) return undefined;
          const former = row.displaced.at(-1);
          return {
            ...(former === undefined ? {} : { holder: former }),
            displaced: row.displaced.slice(0, -1),
            isSettled: false,
          };
        },
        signal,
      ),
    free,
    leave: (channelKeys, holder, how, { log, signal }) =>
      leaveAll(channelKeys, holder, how, new Set(), { log, signal }),
    settle: (channelKey, how, { log, signal }) => settleOne(channelKey, how, new Set(), { log, signal }),
    isHeldBy: async (channelKey, holder, signal) =>
      isSameHolder((await store.readChannel(channelKey, signal))?.value.holder, holder),
    readStanding: async (channelKey, holder, signal) => {
      const row = (await store.readChannel(channelKey, signal))?.value;
      if (!isSameHolder(row?.holder, holder)) return "another's";
      return row?.isSettled === true ? "settled" : "unsettled";
    },
  };
}

export function isSameHolder(a: ChannelHolder | undefined, b: ChannelHolder): boolean {
  return a?.recipientKey === b.recipientKey && a.installationId === b.installationId;
}
