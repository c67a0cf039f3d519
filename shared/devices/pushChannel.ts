// A push channel: what makes two of them the same device, and how one is sealed at rest. No I/O.
import type { PurposeKeys } from "../crypto/keyring.ts";
import { open, seal, toContext } from "../crypto/seal.ts";
import type { Platform, PushChannel, Subscription } from "../domain/notification.ts";
import type { ChannelHolder, InstallationRow } from "../store/store.ts";

/**
 * What makes two push channels the same device: a browser's endpoint alone (its keys are remade), an APNs token
 * in either case, a normalised URI, else the token.
 */
export function toAddress(platform: Platform, channel: PushChannel): string {
  if (typeof channel !== "string") return new URL(channel.endpoint).href;
  if (platform === "apns") return channel.toLowerCase();
  if (platform === "wns" || platform === "mpns") return new URL(channel).href;
  return channel;
}

/** Bound to its user and installation: in another's row it does not open. */
export function sealChannel(purposes: PurposeKeys, holder: ChannelHolder, channel: PushChannel): Uint8Array {
  const plain = Buffer.from(JSON.stringify(channel), "utf8");
  return seal(purposes.channelSealingKey, toChannelContext(holder), plain);
}

/** Nothing where the row was altered. */
export function openChannel(purposes: PurposeKeys, row: InstallationRow): PushChannel | undefined {
  const plain = open(purposes.channelSealingKey, toChannelContext(row), row.sealedPushChannel);
  return plain && (JSON.parse(plain.toString("utf8")) as string | Subscription); // sealed by us, after parsing
}

function toChannelContext({ recipientKey, installationId }: ChannelHolder): Buffer {
  return toContext("push channel", recipientKey, installationId);
}
