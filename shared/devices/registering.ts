// Registering a device: its push channel serves one user and one installation, and the newest registration has it (P7). An
// earlier registration is kept until the new one is complete. I/O through store and senders.
import { isDeepStrictEqual } from "node:util";
import type { CallContext } from "../base/context.ts";
import { both } from "../base/deadline.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { PurposeKeys } from "../crypto/keyring.ts";
import { DAY_MS } from "../domain/id.ts";
import type { PushChannel } from "../domain/installation.ts";
import type { Failure } from "../problem.ts";
import type { Sender } from "../push/sender.ts";
import type { Senders } from "../push/senders.ts";
import type {
  ChannelHolder,
  ChannelRow,
  DeviceChange,
  DeviceRows,
  InstallationRow,
} from "../store/storedDevices.ts";
import type { Versioned } from "../store/store.ts";
import { isInForce, isLive, toLiveRows } from "./devices.ts";
import { finish, toRegistered, type Written } from "./finishing.ts";
import { isSameHolder, takeChannel, toFormerChange, toStateChange, toTakenChannel } from "./holding.ts";
import type { InstallationsOptions } from "./installations.ts";
import { openChannel, sealChannel } from "./pushChannel.ts";
import type { ReconcileWork } from "../store/reconcileWork.ts";

/** A registration that is admitted, and where its rows lie. */
export interface Wanted {
  readonly holder: ChannelHolder;
  readonly sender: Sender;
  readonly platform: InstallationRow["platform"];
  readonly channel: PushChannel;
  readonly channelKey: InstallationRow["channelKey"];
  readonly subscribedUnder?: string;
  readonly purposes: PurposeKeys;
}

export interface Registered {
  readonly installationId: InstallationRow["installationId"];
  /** The sender's directory could not be reached; redelivery brings the device there. */
  readonly isPending: boolean;
  /** When it gets nothing more unless it is renewed. */
  readonly expiresAt: Date;
  readonly isNew: boolean;
}

/** Records of former channels in one partition; a hub that comes back removes them. */
const MAX_FORMER = 50;
const RETRY_AFTER_SECONDS = 30;
/** A renewal earlier than this part of the lifetime changes nothing. */
const RENEWAL_PART = 10;

/** The rows as one try finds them. */
export interface Found {
  readonly rows: DeviceRows;
  readonly channel: Versioned<ChannelRow> | undefined;
  readonly own: Versioned<InstallationRow> | undefined;
  readonly ownEtag: string | undefined;
  /** It counts as one more installation. One that was not renewed in time counts anew. */
  readonly isAdded: boolean;
}

/** One try; nothing where rows changed meanwhile, so that it has to begin again. */
export async function tryRegister(
  options: InstallationsOptions,
  wanted: Wanted,
  context: CallContext,
): Promise<Result<Registered, Failure> | undefined> {
  const { store } = options;
  const { holder, channelKey } = wanted;
  const [rows, channel] = await both(
    store.listDeviceRows(holder.recipientKey, context.signal),
    store.readChannel(channelKey, context.signal),
  );
  const ownRow = rows.installations.find(({ installationId }) => installationId === holder.installationId);
  const own = ownRow?.value && { etag: ownRow.etag, value: ownRow.value };
  const isAdded = own === undefined || !isLive(options, own.value);
  const found = { rows, channel, own, ownEtag: ownRow?.etag, isAdded };
  if (own !== undefined && isUnchanged(options, wanted, own.value, found))
    return ok(toRegistered(options, own.value, { isNew: false, isPending: false }));
  const failure = checkCount(options, wanted, found);
  if (failure !== undefined) return err(failure);
  return write(options, wanted, found, context);
}

/** Apps renew at every start: a renewal that says nothing new, early in the lifetime, needs no write and no directory. */
function isUnchanged(
  { clock, limits }: InstallationsOptions,
  { holder, sender, channelKey, channel, subscribedUnder, purposes }: Wanted,
  own: InstallationRow,
  { rows, channel: held }: Found,
): boolean {
  const ageMs = clock.now().getTime() - own.renewedAt.getTime();
  const { erasureAskedAt } = rows.state?.value ?? {};
  return (
    own.channelKey === channelKey &&
    own.sender === sender.name &&
    own.reconciledAt !== undefined &&
    own.subscribedUnder === subscribedUnder &&
    isSameHolder(held?.value.holder, holder) &&
    held?.value.generation === own.generation &&
    (erasureAskedAt === undefined || own.renewedAt > erasureAskedAt) &&
    ageMs >= 0 &&
    ageMs < (limits.installationTtlDays * DAY_MS) / RENEWAL_PART &&
    !rows.former.some(({ value }) => value.channelKey === channelKey && value.removedAt === undefined) &&
    isDeepStrictEqual(openChannel(purposes, own), channel)
  );
}

function checkCount(
  options: InstallationsOptions,
  { channelKey }: Wanted,
  { rows, own, isAdded }: Found,
): Failure | undefined {
  const former = rows.former.filter(({ value }) => isInForce(value, options.senders, options.clock.now()));
  if (former.length >= MAX_FORMER && own?.value.channelKey !== channelKey)
    return { reason: "hub_unavailable", retryAfterSeconds: RETRY_AFTER_SECONDS };
  if (!isAdded) return undefined;
  const others = toLiveRows(options, rows).filter(({ value }) => value.channelKey !== channelKey);
  return others.length >= options.limits.maxInstallations ? { reason: "installations_exhausted" } : undefined;
}

async function write(
  options: InstallationsOptions,
  wanted: Wanted,
  found: Found,
  context: CallContext,
): Promise<Result<Registered, Failure> | undefined> {
  const { holder, channelKey } = wanted;
  const former = found.channel?.value.holder;
  const isTakeover = former !== undefined && former.recipientKey !== holder.recipientKey;
  const moved = found.own !== undefined && found.own.value.channelKey !== channelKey;
  const others = [...(isTakeover ? [former.recipientKey] : []), ...toPreviousKeys(found)];
  const { generation } = toTakenChannel(found.channel?.value, holder, options.clock.now());
  const { recipientKey } = holder;
  const work: ReconcileWork = {
    kind: "reconcile",
    recipientKeys: [...new Set([recipientKey, ...others])],
    channelKeys: [channelKey, ...(moved ? [found.own.value.channelKey] : [])],
    puts: [{ recipientKey, channelKey, generation, platform: wanted.platform, sender: wanted.sender.name }],
  };
  const task = await options.tasks.begin(work, context.signal);
  const rows = await writeRows(options, wanted, { ...found, generation }, context.signal);
  if (rows === undefined) {
    // Somebody else was faster. The next try overwrites what was written, or redelivery removes it.
    await task.leave(context);
    return undefined;
  }
  const written: Written = { ...found, ...rows, before: found.channel?.value, work, task, others, moved };
  return finish(options, wanted, written, context);
}

/**
 * The own row first, so that a failure leaves an earlier holding as it was; then the channel. Where nobody loses anything
 * (a new device on a channel that nobody holds), both at once.
 */
async function writeRows(
  options: InstallationsOptions,
  wanted: Wanted,
  found: Found & { readonly generation: number },
  signal: AbortSignal,
): Promise<Pick<Written, "row" | "stateEtag" | "channel"> | undefined> {
  const { store, clock, senders } = options;
  const { holder, channelKey, platform } = wanted;
  const value = toRow(clock.now(), wanted, found, found.generation);
  const changes = toChanges({ now: clock.now(), senders }, wanted, found, value);
  const claim = { holder, channelKey, platform, sender: wanted.sender.name };
  const put = () => store.changeDevices(holder.recipientKey, changes, signal);
  const take = () => takeChannel(options, claim, found.channel, signal);
  const isPlain = found.channel?.value.holder === undefined && found.ownEtag === undefined;
  const [etags, channel] = isPlain ? await both(put(), take()) : await inTurn(put, take);
  if (etags === undefined || channel === undefined) return undefined;
  const [rowEtag = "", stateEtag = ""] = etags;
  return { row: { etag: rowEtag, value }, stateEtag, channel };
}

async function inTurn<A, B>(
  first: () => Promise<A | undefined>,
  second: () => Promise<B | undefined>,
): Promise<readonly [A | undefined, B | undefined]> {
  const a = await first();
  return [a, a === undefined ? undefined : await second()];
}

function toPreviousKeys({ channel }: Found): readonly ChannelHolder["recipientKey"][] {
  const previous = channel?.value.previous;
  return previous === undefined ? [] : [previous.recipientKey];
}

function toRow(now: Date, wanted: Wanted, { own }: Found, generation: number): InstallationRow {
  const { holder, sender, platform, channelKey, channel, subscribedUnder, purposes } = wanted;
  const isSame = own?.value.channelKey === channelKey && own.value.generation === generation;
  return {
    ...holder,
    platform,
    sender: sender.name,
    channelKey,
    generation,
    sealedPushChannel: sealChannel(purposes, holder, channel),
    createdAt: isSame ? own.value.createdAt : now,
    renewedAt: now,
    ...(subscribedUnder === undefined ? {} : { subscribedUnder }),
    // The directory holds it already: a renewal that fails does not make it unknown there.
    ...(isSame && own.value.reconciledAt !== undefined ? { reconciledAt: own.value.reconciledAt } : {}),
  };
}

/**
 * The own row, in place of whatever the same user had for this channel, and the record of a channel that is left. The
 * state row changes each time: whoever adds an installation at the same time reads the partition again and counts anew.
 */
function toChanges(
  { now, senders }: { readonly now: Date; readonly senders: Senders },
  { holder, channelKey }: Wanted,
  { rows, own, ownEtag }: Found,
  row: InstallationRow,
): readonly DeviceChange[] {
  const twins = rows.installations.filter(
    ({ installationId, value }) =>
      installationId !== holder.installationId && value?.channelKey === channelKey,
  );
  const moved = own !== undefined && own.value.channelKey !== channelKey ? own.value : undefined;
  const over = rows.former.filter(
    ({ value }) => !isInForce(value, senders, now) && value.removedAt !== undefined,
  );
  return [
    { kind: "putInstallation", row, ...(ownEtag !== undefined && { etag: ownEtag }) },
    toStateChange(rows),
    ...twins.map(
      ({ installationId, etag }) => ({ kind: "deleteInstallation", installationId, etag }) as const,
    ),
    ...over
      .filter(({ value }) => value.channelKey !== moved?.channelKey)
      .slice(0, MAX_FORMER)
      .map(({ value, etag }) => ({ kind: "deleteFormer", channelKey: value.channelKey, etag }) as const),
    ...(moved === undefined ? [] : [toFormerChange(moved, rows.former, now)]),
  ];
}
