// Which calls of the hub reach every device of the recipients, and nobody else.
import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import type { ChannelKey, RecipientKey } from "../../shared/crypto/keyring.ts";
import type { Device } from "../../shared/devices/devices.ts";
import { type Recipient, toPushes, toTargets } from "../../shared/sending/fanOut.ts";
import type { InstallationId, Platform } from "../../shared/domain/notification.ts";

const now = new Date(Date.UTC(2026, 10, 24, 12));

function recipient(...devices: readonly (readonly [Platform, number])[]): Recipient {
  const recipientKey = randomBytes(32).toString("base64url") as RecipientKey;
  const own = devices.map(([platform, ageMs], i) => device(recipientKey, platform, ageMs, i));
  return {
    recipientKey,
    devices: own,
    targets: toTargets(own, now),
    isAccepted: false,
    hasFailed: false,
  };
}

function device(recipientKey: RecipientKey, platform: Platform, ageMs: number, i: number): Device {
  const changedAt = new Date(now.getTime() - ageMs);
  return {
    recipientKey,
    installationId: `device-${i}` as InstallationId,
    platform,
    channelKey: randomBytes(32).toString("hex") as ChannelKey,
    sealedPushChannel: new Uint8Array(),
    changedAt,
    renewedAt: now,
    leaving: [],
    etag: "",
    isSettled: true,
    openChannel: () => `channel-${i}`,
  };
}

/** Pushes as platform, kind and number of recipients. */
function describe(recipients: readonly Recipient[]): readonly string[] {
  return toPushes(recipients).map(
    (push) => `${push.platform} ${push.device === undefined ? "tags" : "device"} ${push.recipients.length}`,
  );
}

const OLD = 120_000;
const NEW = 119_999;

test.each<[string, readonly Recipient[], readonly string[]]>([
  ["nobody", [], []],
  ["a recipient without devices", [recipient()], []],
  ["one old device", [recipient(["apns", OLD])], ["apns tags 1"]],
  ["two old devices of one platform", [recipient(["apns", OLD], ["apns", OLD])], ["apns tags 1"]],
  ["one new device: directly, and not by the tag", [recipient(["apns", NEW])], ["apns device 1"]],
  [
    "a new device beside an old one: directly, and by the tag",
    [recipient(["apns", NEW], ["apns", OLD])],
    ["apns device 1", "apns tags 1"],
  ],
  [
    "only the platforms that they have",
    [recipient(["apns", OLD], ["wns", OLD])],
    ["apns tags 1", "wns tags 1"],
  ],
  [
    "twenty recipients: one call",
    Array.from({ length: 20 }, () => recipient(["apns", OLD])),
    ["apns tags 20"],
  ],
  [
    "twenty-one recipients: two calls",
    Array.from({ length: 21 }, () => recipient(["apns", OLD])),
    ["apns tags 20", "apns tags 1"],
  ],
])("%s", (_what, recipients, expected) => {
  expect(describe(recipients)).toEqual(expected);
});

test("every recipient with a device is in exactly one tag call of its platform", () => {
  const recipients = Array.from({ length: 100 }, (_, i) => recipient([i % 3 === 0 ? "wns" : "apns", OLD]));
  const called = toPushes(recipients).flatMap((push) => push.recipients);
  expect(called).toHaveLength(100);
  expect(new Set(called)).toEqual(new Set(recipients.map(({ recipientKey }) => recipientKey)));
});
