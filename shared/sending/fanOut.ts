// Pushing one ID to the devices of its recipients through the hub: as few calls as possible, to nobody else. I/O
// through the hub that is handed in.
import type { RecipientKey } from "../crypto/keyring.ts";
import { mapBounded } from "../base/deadline.ts";
import { type Device, isFresh } from "../devices/devices.ts";
import { toCause } from "../base/log.ts";
import { type Platform, PLATFORMS, type PushStatus } from "../domain/notification.ts";
import {
  type HubSender,
  MAX_RECIPIENTS_PER_PUSH,
  type PushMessage,
  type PushOutcome,
} from "../push/sender.ts";
import type { Owed, Target } from "../store/store.ts";

/** What is owed to a recipient, with the devices that they have now. */
export interface Recipient extends Owed {
  readonly targets: readonly Target[];
  readonly devices: readonly Device[];
}

/** One call of the hub, and whom it is for. */
export interface Push {
  readonly platform: Platform;
  readonly recipients: readonly RecipientKey[];
  /** Present for a push to this device alone. */
  readonly device?: Device;
}

export interface PushResult extends Push {
  readonly outcome: PushOutcome;
}

/** Of one recipient on one platform; with more new devices than that, the others are left to the tag. */
const MAX_DIRECT_PUSHES = 5;
const MAX_PARALLEL_PUSHES = 8;

/**
 * What reaches every device of a recipient: their tag on each platform that they really have, and a direct push to each
 * device that was made or moved less than two minutes ago, or that the hub may not have heard of. Where all of their devices on a platform are that new, the
 * direct pushes alone.
 */
export function toTargets(devices: readonly Device[], now: Date): readonly Target[] {
  return PLATFORMS.flatMap((platform) => {
    const served = devices.filter((device) => device.platform === platform);
    const direct = served
      .filter((device) => isFresh(device, now) || !device.isSettled)
      .toSorted((a, b) => b.changedAt.getTime() - a.changedAt.getTime())
      .slice(0, MAX_DIRECT_PUSHES)
      .map(({ installationId }) => ({ platform, installationId }));
    return direct.length < served.length ? [...direct, { platform }] : direct;
  });
}

/**
 * The calls that the recipients' targets take: an OR of tags for each platform, and a direct push for each device that
 * is still there. A target whose device has gone takes none.
 */
export function toPushes(recipients: readonly Recipient[]): readonly Push[] {
  const pushes: Push[] = [];
  for (const platform of PLATFORMS) {
    const byTag: RecipientKey[] = [];
    for (const { recipientKey, targets, devices } of recipients)
      for (const target of targets.filter((wanted) => wanted.platform === platform)) {
        const device = devices.find((own) => isTargetOf(target, own));
        if (target.installationId === undefined) byTag.push(recipientKey);
        else if (device !== undefined) pushes.push({ platform, recipients: [recipientKey], device });
      }
    for (let i = 0; i < byTag.length; i += MAX_RECIPIENTS_PER_PUSH)
      pushes.push({ platform, recipients: byTag.slice(i, i + MAX_RECIPIENTS_PER_PUSH) });
  }
  return pushes;
}

function isTargetOf({ platform, installationId }: Target, device: Device): boolean {
  return device.platform === platform && device.installationId === installationId;
}

/** What is owed to a recipient after these results; what has come to its end is owed no more. */
export function toOwed(
  { recipientKey, targets, isAccepted, hasFailed }: Recipient,
  results: readonly PushResult[],
) {
  const own = results.filter((result) => result.recipients.includes(recipientKey));
  const open = targets.filter((target) => {
    const result = own.find(({ platform, device }) =>
      device === undefined
        ? target.installationId === undefined && target.platform === platform
        : isTargetOf(target, device),
    );
    // Without a result its device has gone, and nothing is owed to it.
    return result !== undefined && isOpen(result.outcome);
  });
  return {
    recipientKey,
    targets: open,
    isAccepted: isAccepted || own.some(({ outcome }) => outcome.kind === "accepted"),
    hasFailed:
      hasFailed || own.some(({ outcome }) => outcome.kind === "message" || outcome.kind === "damaged"),
  } satisfies Owed;
}

/** Whether an outcome leaves the push to be tried again. */
export function isOpen({ kind }: PushOutcome): boolean {
  return kind === "throttled" || kind === "transient" || kind === "credentials";
}

/** Of one recipient's devices, the most telling (design.md, "sendSecure request"). */
export function toRecipientStatus({ targets, isAccepted, hasFailed }: Owed): PushStatus {
  if (targets === undefined || targets.length > 0) return "pending";
  if (isAccepted) return "accepted";
  return hasFailed ? "failed" : "noDevices";
}

/** Makes the calls, a few at a time, and answers what each came to. */
export function pushAll(
  hub: HubSender,
  pushes: readonly Push[],
  message: PushMessage,
  signal: AbortSignal,
): Promise<readonly PushResult[]> {
  let stopped: PushOutcome | undefined;
  return mapBounded(pushes, MAX_PARALLEL_PUSHES, async (push) => {
    // After the first 429 nobody asks again: the others wait as long.
    const outcome = stopped ?? (await pushOne(hub, push, message, signal));
    if (outcome.kind === "throttled") stopped = outcome;
    return { ...push, outcome };
  });
}

async function pushOne(
  hub: HubSender,
  { platform, recipients, device }: Push,
  message: PushMessage,
  signal: AbortSignal,
): Promise<PushOutcome> {
  // One device's damaged row is not the other recipients' trouble, nor is what the sender cannot make sense of.
  try {
    if (device === undefined) return await hub.pushToRecipients(platform, recipients, message, signal);
    const channel = device.openChannel();
    if (channel === undefined) return { kind: "damaged" };
    return await hub.pushToDevice(platform, channel, message, signal);
  } catch (error) {
    if (signal.aborted) return { kind: "transient", cause: "timeout" };
    return { kind: "damaged", cause: toCause(error) };
  }
}
