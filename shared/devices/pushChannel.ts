// A push channel: what makes two of them the same device, and how one is sealed at rest. No I/O.
import type { PurposeKeys } from "../crypto/keyring.ts";
import { open, seal, toContext } from "../crypto/seal.ts";
import type { Platform, PushChannel, Subscription } from "../domain/installation.ts";
import type { ChannelHolder, InstallationRow } from "../store/storedDevices.ts";

/**
 * What identifies the device of a push channel: the canonical form of a URI (of a browser's subscription the endpoint
 * alone, because its keys can change), an APNs token in lower case, any other token as it is. It is only compared and
 * hashed; pushes go to the channel as it was registered.
 */
export function toAddress(platform: Platform, channel: PushChannel): string {
  if (typeof channel !== "string") return toCanonicalUri(channel.endpoint);
  if (platform === "apns") return channel.toLowerCase();
  if (platform === "wns" || platform === "mpns") return toCanonicalUri(channel);
  return channel;
}

/**
 * One text for all spellings of a URI that reach the same resource (RFC 3986 §6.2): the letter case and the trailing dot
 * of the host, the default port, percent-encoding, and empty parts of the query make no difference.
 */
function toCanonicalUri(text: string): string {
  const url = new URL(text); // lower-cases scheme and host, and drops the default port
  const host = url.hostname.replace(/\.$/, "");
  const path = url.pathname.split("/").map(decode);
  const query = url.search
    .slice(1)
    .split("&")
    .filter((part) => part !== "")
    .map((part) => {
      const end = part.indexOf("=");
      return end < 0 ? [decode(part), ""] : [decode(part.slice(0, end)), decode(part.slice(end + 1))];
    });
  // As JSON, so that a decoded delimiter is not taken for a real one.
  return JSON.stringify([url.protocol, host, url.port, path, query]);
}

/** Without percent-encoding. A text that is no encoded UTF-8 keeps it, with digits in one letter case. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text.replaceAll(/%[0-9a-f]{2}/gi, (code) => code.toUpperCase());
  }
}

/** Bound to its user and installation: in another's row it does not open. */
export function sealChannel(purposes: PurposeKeys, holder: ChannelHolder, channel: PushChannel): Uint8Array {
  const plain = Buffer.from(JSON.stringify(channel), "utf8");
  return seal(purposes.channelSealingKey, toChannelContext(holder), plain);
}

/** `undefined` where the row was altered. */
export function openChannel(purposes: PurposeKeys, row: InstallationRow): PushChannel | undefined {
  const plain = open(purposes.channelSealingKey, toChannelContext(row), row.sealedPushChannel);
  return plain && (JSON.parse(plain.toString("utf8")) as string | Subscription); // sealed by us, after parsing
}

function toChannelContext({ recipientKey, installationId }: ChannelHolder): Buffer {
  return toContext("push channel", recipientKey, installationId);
}
