// Pushing one ID to the devices of its recipients through the hub: as few calls as possible, to nobody else. I/O
// through the hub that is handed in.
import type { RecipientKey } from "./crypto/keyring.ts";
import { mapBounded } from "./deadline.ts";
import { type Device, isFresh } from "./installations.ts";
import { type Platform, PLATFORMS } from "./notification.ts";
import {
  type HubSender,
  MAX_RECIPIENTS_PER_PUSH,
  type PushMessage,
  type PushOutcome,
} from "./push/sender.ts";

export interface Recipient {
  readonly recipientKey: RecipientKey;
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
 * The calls that reach every device of the recipients: an OR of tags for each platform that they really have,
 * and a direct push to each device that was made or moved less than two minutes ago. Where all of a recipient's
 * devices on a platform are that new, the direct pushes alone.
 */
export function toPushes(recipients: readonly Recipient[], now: Date): readonly Push[] {
  const pushes: Push[] = [];
  for (const platform of PLATFORMS) {
    const byTag: RecipientKey[] = [];
    for (const { recipientKey, devices } of recipients) {
      const served = devices.filter((device) => device.platform === platform);
      const fresh = served.filter((device) => isFresh(device, now));
      const direct = fresh
        .toSorted((a, b) => b.changedAt.getTime() - a.changedAt.getTime())
        .slice(0, MAX_DIRECT_PUSHES);
      if (direct.length < served.length) byTag.push(recipientKey);
      for (const device of direct) pushes.push({ platform, recipients: [recipientKey], device });
    }
    for (let i = 0; i < byTag.length; i += MAX_RECIPIENTS_PER_PUSH)
      pushes.push({ platform, recipients: byTag.slice(i, i + MAX_RECIPIENTS_PER_PUSH) });
  }
  return pushes;
}

/** Makes the calls, a few at a time, and answers what each came to. */
export function pushAll(
  hub: HubSender,
  pushes: readonly Push[],
  message: PushMessage,
  signal: AbortSignal,
): Promise<readonly PushResult[]> {
  return mapBounded(pushes, MAX_PARALLEL_PUSHES, async (push) => ({
    ...push,
    outcome: await pushOne(hub, push, message, signal),
  }));
}

function pushOne(
  hub: HubSender,
  { platform, recipients, device }: Push,
  message: PushMessage,
  signal: AbortSignal,
): Promise<PushOutcome> {
  if (device === undefined) return hub.pushToRecipients(platform, recipients, message, signal);
  const channel = device.openChannel();
  // One device's damaged row is not the other recipients' trouble.
  if (channel === undefined) return Promise.resolve({ kind: "damaged" });
  return hub.pushToDevice(platform, channel, message, signal);
}
