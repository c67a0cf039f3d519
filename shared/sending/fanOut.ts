// Which calls reach the devices of some recipients, and what their results leave pending. As few calls as possible, and
// to nobody else. No I/O.
import type { RecipientKey } from "../crypto/keyring.ts";
import type { Device, DeviceListing } from "../devices/devices.ts";
import { type Platform, PLATFORMS, type SenderName } from "../domain/installation.ts";
import type { PushStatus } from "../domain/notification.ts";
import type { PendingRecipient, PendingTarget } from "../store/outboxWork.ts";
import type { InstallationRow } from "../store/storedDevices.ts";
import { isTemporary } from "../push/outcome.ts";
import type { PushOutcome, Sender } from "../push/sender.ts";
import type { Senders } from "../push/senders.ts";

/** How far the clocks of two instances may differ. */
const CLOCKS_DIFFER_MS = 5_000;

/** What is pending for a recipient, with the devices that they have now. */
export interface Recipient extends PendingRecipient {
  readonly targets: readonly PendingTarget[];
  readonly listing: DeviceListing;
}

/** One call of a sender, and whom it is for. */
export interface PushCall {
  readonly sender: Sender;
  readonly platform: Platform;
  readonly recipients: readonly RecipientKey[];
  /** Present for a push to this device alone. */
  readonly device?: Device;
}

export interface PushResult {
  readonly senderName: SenderName;
  readonly platform: Platform;
  readonly recipients: readonly RecipientKey[];
  readonly device?: Device;
  readonly outcome: PushOutcome;
}

/**
 * What reaches every device of a recipient. Where a sender can push to groups: one group push for each platform, and a
 * direct push to each device that a group push may still miss. Elsewhere, and where a group push could reach a former
 * device of theirs (P7): a direct push to each device. A device whose
 * registration is in progress gets a direct push once it holds its channel.
 */
export function toTargets(listing: DeviceListing, senders: Senders, now: Date): readonly PendingTarget[] {
  const registering = listing.registering.map(toDirectTarget);
  const current = PLATFORMS.flatMap((platform) => {
    const served = listing.devices.filter((device) => device.platform === platform);
    const names = [...new Set(served.map(({ sender }) => sender))];
    return names.flatMap((name) => {
      const devices = served.filter(({ sender }) => sender === name);
      const groups = listing.directOnly.has(platform) ? undefined : senders.named(name)?.groups;
      if (groups === undefined) return devices.map(toDirectTarget);
      const missed = devices
        .filter((device) => isMissed(device, groups.visibleAfterMs, now))
        .toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
        .slice(0, groups.maxDirectPushes);
      const direct = missed.map(toDirectTarget);
      return direct.length < devices.length ? [...direct, { sender: name, platform }] : direct;
    });
  });
  return [...current, ...registering];
}

function toDirectTarget({
  sender,
  platform,
  channelKey,
}: Pick<Device, "sender" | "platform" | "channelKey">): PendingTarget {
  return { sender, platform, channelKey };
}

/** Whether the service behind a sender may not show the device to group pushes yet. */
function isMissed({ reconciledAt }: Device, visibleAfterMs: number, now: Date): boolean {
  return reconciledAt === undefined || now.getTime() - reconciledAt.getTime() < visibleAfterMs;
}

/**
 * The targets of an earlier try, as they are to be pushed now. A group push that could reach a former device of the recipient
 * becomes a direct push to each of their devices (P7). If the recipient no longer has the channel of a target, the push goes to
 * the channels that they have registered since the send, on the same platform and sender, because a device may have changed
 * its channel. If the recipient's erasure was asked for after the send, it goes to none.
 */
export function toCurrentTargets(
  targets: readonly PendingTarget[],
  listing: DeviceListing,
  sentAt: Date,
): readonly PendingTarget[] {
  const rows = [...listing.devices, ...listing.registering];
  const current = targets.flatMap((target) => {
    const { sender, platform, channelKey, dueAt } = target;
    const own = rows.filter((row) => row.platform === platform && row.sender === sender);
    const toEach = (devices: readonly InstallationRow[]) =>
      devices.map((device) => ({ ...toDirectTarget(device), ...(dueAt && { dueAt }) }));
    if (channelKey === undefined) return listing.directOnly.has(platform) ? toEach(own) : [target];
    const same = rows.find((row) => isTargetOf(target, row));
    if (same !== undefined) return toEach([same]);
    if (listing.erasureAskedAt !== undefined && listing.erasureAskedAt >= sentAt) return [];
    return toEach(own.filter(({ createdAt }) => createdAt.getTime() > sentAt.getTime() - CLOCKS_DIFFER_MS));
  });
  return current.filter(
    ({ platform, channelKey }, i) =>
      channelKey === undefined ||
      current.findIndex((one) => one.channelKey === channelKey && one.platform === platform) === i,
  );
}

/**
 * The calls for the targets that are due: a group push for up to `maxRecipients` recipients, and one call for each
 * device that is still there.
 */
export function toCalls(recipients: readonly Recipient[], senders: Senders, now: Date): readonly PushCall[] {
  const calls: PushCall[] = [];
  const groups = new Map<string, { readonly sender: Sender; platform: Platform; members: RecipientKey[] }>();
  for (const { recipientKey, targets, listing } of recipients)
    for (const target of targets.filter((one) => isDue(one, now))) {
      const sender = senders.named(target.sender);
      const device = listing.devices.find((own) => isTargetOf(target, own));
      if (sender === undefined) continue; // not configured any more: it stays pending until it expires
      const { platform } = target;
      if (target.channelKey === undefined) {
        const group = groups.get(`${sender.name} ${platform}`) ?? { sender, platform, members: [] };
        group.members.push(recipientKey);
        groups.set(`${sender.name} ${platform}`, group);
      } else if (device !== undefined) calls.push({ sender, platform, recipients: [recipientKey], device });
    }
  for (const { sender, platform, members } of groups.values()) {
    const size = sender.groups?.maxRecipients ?? 1;
    for (let i = 0; i < members.length; i += size)
      calls.push({ sender, platform, recipients: members.slice(i, i + size) });
  }
  return calls.toSorted((a, b) => PLATFORMS.indexOf(a.platform) - PLATFORMS.indexOf(b.platform));
}

function isDue({ dueAt }: PendingTarget, now: Date): boolean {
  return dueAt === undefined || dueAt <= now;
}

function isTargetOf({ platform, channelKey }: PendingTarget, row: InstallationRow): boolean {
  return row.platform === platform && row.channelKey === channelKey;
}

/** What is pending for a recipient after these results; `toDueAt` says when an open target is due again. */
export function toPending(
  { recipientKey, targets, listing, isAccepted, hasFailed }: Recipient,
  results: readonly PushResult[],
  toDueAt: (outcome: PushOutcome) => Date,
): PendingRecipient {
  const own = results.filter((result) => result.recipients.includes(recipientKey));
  const open = targets.flatMap((target) => {
    const result = own.find((one) => isResultOf(target, one));
    if (result === undefined) {
      if (listing.registering.some((row) => isTargetOf(target, row)))
        return [{ ...target, dueAt: toDueAt({ kind: "transient", cause: "registration in progress" }) }];
      // A device that has gone is pushed to no more.
      const isThere =
        target.channelKey === undefined || listing.devices.some((device) => isTargetOf(target, device));
      return isThere ? [target] : [];
    }
    return isTemporary(result.outcome) ? [{ ...target, dueAt: toDueAt(result.outcome) }] : [];
  });
  return {
    recipientKey,
    targets: open,
    isAccepted: isAccepted || own.some(({ outcome }) => outcome.kind === "accepted"),
    hasFailed:
      hasFailed || own.some(({ outcome }) => outcome.kind === "message" || outcome.kind === "damaged"),
  };
}

function isResultOf(target: PendingTarget, { senderName, platform, device }: PushResult): boolean {
  if (senderName !== target.sender || platform !== target.platform) return false;
  return device?.channelKey === target.channelKey;
}

/** Of one recipient's devices, the most telling: pending, then accepted, then failed. */
export function toRecipientStatus({ targets, isAccepted, hasFailed }: PendingRecipient): PushStatus {
  if (targets === undefined || targets.length > 0) return "pending";
  if (isAccepted) return "accepted";
  return hasFailed ? "failed" : "noDevices";
}
