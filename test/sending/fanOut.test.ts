// Which calls of the hub reach every device of the recipients, and nobody else.
import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import type { ChannelKey, RecipientKey } from "../../shared/crypto/keyring.ts";
import type { Device, DeviceListing } from "../../shared/devices/devices.ts";
import { createSenders } from "../../shared/push/senders.ts";
import {
  type Recipient,
  toCalls,
  toCurrentTargets,
  toPending,
  toTargets,
} from "../../shared/sending/fanOut.ts";
import { createDirectSender, createGroupSender } from "../helpers/testSender.ts";
import type { InstallationId, Platform } from "../../shared/domain/installation.ts";

const now = new Date(Date.UTC(2026, 10, 24, 12));
const group = { ...createGroupSender().sender, platforms: ["apns", "wns"] as const };
const direct = { ...createDirectSender().sender, platforms: ["browser"] as const };
const senders = createSenders([direct, group]);

function recipient(...devices: readonly (readonly [Platform, number])[]): Recipient {
  const recipientKey = randomBytes(32).toString("base64url") as RecipientKey;
  const own = devices.map(([platform, ageMs], i) => device(recipientKey, platform, ageMs, i));
  const listing: DeviceListing = { devices: own, registering: [], directOnly: new Set<Platform>() };
  return {
    recipientKey,
    listing,
    targets: toTargets(listing, senders, now),
    isAccepted: false,
    hasFailed: false,
  };
}

function device(recipientKey: RecipientKey, platform: Platform, ageMs: number, i: number): Device {
  const createdAt = new Date(now.getTime() - ageMs);
  return {
    recipientKey,
    installationId: `device-${i}` as InstallationId,
    platform,
    sender: platform === "browser" ? "webPush" : "hub",
    channelKey: randomBytes(32).toString("hex") as ChannelKey,
    sealedPushChannel: new Uint8Array(),
    createdAt,
    renewedAt: now,
    reconciledAt: createdAt,
    etag: "",
    generation: 1,
    openChannel: () => `channel-${i}`,
  };
}

/** Pushes as platform, kind and number of recipients. */
function describe(recipients: readonly Recipient[]): readonly string[] {
  return toCalls(recipients, senders, now).map(
    (call) => `${call.platform} ${call.device === undefined ? "tags" : "device"} ${call.recipients.length}`,
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
  [
    "a sender without groups: each device by itself",
    [recipient(["browser", OLD], ["browser", OLD], ["apns", OLD])],
    ["apns tags 1", "browser device 1", "browser device 1"],
  ],
])("%s", (_what, recipients, expected) => {
  expect(describe(recipients)).toEqual(expected);
});

test("every recipient with a device is in exactly one tag call of its platform", () => {
  const recipients = Array.from({ length: 100 }, (_, i) => recipient([i % 3 === 0 ? "wns" : "apns", OLD]));
  const called = toCalls(recipients, senders, now).flatMap((call) => call.recipients);
  expect(called).toHaveLength(100);
  expect(new Set(called)).toEqual(new Set(recipients.map(({ recipientKey }) => recipientKey)));
});

test("P7: where a group push could reach a former device, each device is pushed to directly, in a later try too", () => {
  const one = recipient(["apns", OLD], ["apns", OLD], ["wns", OLD]);
  const listing = { ...one.listing, directOnly: new Set<Platform>(["apns"]) };
  const again = { ...one, listing, targets: toCurrentTargets(one.targets, listing, now) };
  const first = { ...one, listing, targets: toTargets(listing, senders, now) };
  for (const tried of [again, first])
    expect(describe([tried])).toEqual(["apns device 1", "apns device 1", "wns tags 1"]);
});

test("P3: what waits for a channel that its recipient no longer has goes to those registered since, once each", () => {
  const [sentAt, since] = [new Date(now.getTime() - 1000), 999];
  const before = recipient(["browser", OLD], ["browser", OLD], ["browser", OLD]);
  const [kept, ...left] = before.targets;
  const after = recipient(["browser", since], ["browser", OLD], ["apns", since]);
  const [moved] = after.listing.devices;
  const devices = [...before.listing.devices.slice(0, 1), ...after.listing.devices];
  const listing = { ...before.listing, devices };
  expect(toCurrentTargets(before.targets, listing, sentAt)).toEqual([
    kept,
    { sender: "webPush", platform: "browser", channelKey: moved?.channelKey },
  ]);
  expect(left).toHaveLength(2);
});

test("P3: clocks of two instances may differ by seconds: a channel registered just after the send counts", () => {
  const before = recipient(["browser", OLD]);
  const moved = recipient(["browser", 3_000]).listing.devices;
  const sentAt = new Date(now.getTime() - 1_000); // by the other clock before it
  expect(toCurrentTargets(before.targets, { ...before.listing, devices: moved }, sentAt)).toHaveLength(1);
});

test("P5: after an erasure was asked for, no channel takes the place of an earlier one", () => {
  const [sentAt, since] = [new Date(now.getTime() - 10_000), 100];
  const before = recipient(["browser", OLD]);
  const { devices } = recipient(["browser", since]).listing;
  const ask = (erasureAskedAt: Date) =>
    toCurrentTargets(before.targets, { ...before.listing, devices, erasureAskedAt }, sentAt);
  expect(ask(sentAt)).toEqual([]);
  expect(ask(new Date(sentAt.getTime() - 1))).toHaveLength(1);
});

test("P3: a channel that another sender serves by now is pushed to by that sender", () => {
  const before = recipient(["browser", OLD]);
  const devices = before.listing.devices.map((one): Device => ({ ...one, sender: "hub" }));
  expect(toCurrentTargets(before.targets, { ...before.listing, devices }, now)).toEqual([
    { ...before.targets[0], sender: "hub" },
  ]);
});

test("P3, P7: a registration in progress gets no push, and keeps it pending until it holds its channel", () => {
  const sentAt = new Date(now.getTime() - 1_000);
  const later = new Date(now.getTime() + 1_000);
  const before = recipient(["browser", OLD]);
  const registering = recipient(["browser", 10]).listing.devices;
  const listing: DeviceListing = { ...before.listing, devices: [], registering };
  const expected = { sender: "webPush", platform: "browser", channelKey: registering[0]?.channelKey };
  for (const targets of [
    toTargets(listing, senders, now),
    toCurrentTargets(before.targets, listing, sentAt),
  ]) {
    expect(targets).toEqual([expected]);
    const one = { ...before, listing, targets };
    expect(toCalls([one], senders, now)).toEqual([]);
    expect(toPending(one, [], () => later).targets).toEqual([{ ...expected, dueAt: later }]);
    const finished = { ...one, listing: { ...listing, devices: registering, registering: [] } };
    expect(describe([finished])).toEqual(["browser device 1"]);
    const gone = { ...one, listing: { ...listing, registering: [] } };
    expect(toPending(gone, [], () => later).targets).toEqual([]);
  }
});

test("what is not due yet, or has no sender any more, takes no call", () => {
  const one = recipient(["apns", OLD], ["browser", OLD]);
  const later = one.targets.map((target) => ({ ...target, dueAt: new Date(now.getTime() + 1) }));
  expect(describe([{ ...one, targets: later }])).toEqual([]);
  expect(toCalls([one], createSenders([group]), now).map(({ platform }) => platform)).toEqual(["apns"]);
});
