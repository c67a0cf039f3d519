// The platforms of the hub: what each is called by installations and by sends, and what its push service takes
// (docs/notification-hubs-protocol.md §13). No I/O.

export const platforms = {
  // In the order in which .NET reads the counts of telemetry (§19): it loses those that come in another order.
  apns: { format: "apple", maxPayloadBytes: 4096, counts: "ApnsOutcomeCounts", headers: /^apns-/ },
  mpns: {
    format: "windowsphone",
    maxPayloadBytes: 3072,
    counts: "MpnsOutcomeCounts",
    headers: /^x-(?:windowsphone-target|notificationclass|messageid)$/,
  },
  wns: { format: "windows", maxPayloadBytes: 5120, counts: "WnsOutcomeCounts", headers: /^x-wns-/ },
  gcm: { format: "gcm", maxPayloadBytes: 4096, counts: "GcmOutcomeCounts", headers: undefined },
  adm: { format: "adm", maxPayloadBytes: 6144, counts: "AdmOutcomeCounts", headers: undefined },
  fcmv1: { format: "fcmv1", maxPayloadBytes: 4096, counts: "FcmV1OutcomeCounts", headers: undefined },
  baidu: {
    format: "baidu",
    maxPayloadBytes: 4096,
    counts: "BaiduOutcomeCounts",
    headers: /^x-baidu-message-type$/,
  },
  browser: { format: "browser", maxPayloadBytes: 4096, counts: "BrowserOutcomeCounts", headers: undefined },
  xiaomi: { format: "xiaomi", maxPayloadBytes: 4096, counts: "XiaomiOutcomeCounts", headers: undefined },
} as const satisfies Readonly<
  Record<string, { format: string; maxPayloadBytes: number; counts: string; headers: RegExp | undefined }>
>;

/** As installations name it. */
export type HubPlatform = keyof typeof platforms;

export const HUB_PLATFORMS = Object.keys(platforms).filter(isPlatform);

function isPlatform(text: string): text is HubPlatform {
  return Object.hasOwn(platforms, text);
}

/** The installation's name for a platform, in any case. Undefined for others, such as `fcm`. */
export function parsePlatform(text: string): HubPlatform | undefined {
  return HUB_PLATFORMS.find((platform) => platform === text.toLowerCase());
}

/** The platform of the send header's format, in any case; templates have none. */
export function platformOfFormat(format: string): HubPlatform | undefined {
  return HUB_PLATFORMS.find((platform) => platforms[platform].format === format.toLowerCase());
}
