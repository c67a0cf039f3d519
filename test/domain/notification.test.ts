// What back ends and devices may ask for, and all that they may not.
import { ECDH } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, expectTypeOf, test } from "vitest";
import * as z from "zod";
import { InstallationId, InstallationRequest } from "../../shared/domain/installation.ts";
import { MAX_RECIPIENTS } from "../../shared/domain/limits.ts";
import { type PushStatus, SendRequest, toPushStatus, UserId } from "../../shared/domain/notification.ts";

const guid = "0F8FAD5B-D9CB-469F-A165-70867728950E";
const rejects = (schema: z.ZodType, value: unknown) => !schema.safeParse(value).success;
const send = (members: object) => ({ to: ["alice"], payload: 1, ...members });

describe("R71: user ids", () => {
  test.each([
    "a",
    "!",
    "~",
    "alice@example.com",
    "auth0|abc",
    "$UserId:{a}",
    "a&&b",
    "x".repeat(256),
    "00000000-0000-0000-0000-00000000000", // one digit short of a GUID
    `{${guid}}`,
    `${guid}.`,
    `${guid}.${guid}.${guid}`,
    `urn:uuid:${guid}`,
    "A.B",
  ])("%j is kept as it stands", (text) => {
    expect(UserId.parse(text)).toBe(text);
    expect(SendRequest.parse(send({ to: [text] })).to).toEqual([text]);
  });

  test.each([guid, `${guid}.${guid}`, guid.toLowerCase()])("%s is folded, as GUIDs are", (text) => {
    expect(UserId.parse(text)).toBe(text.toLowerCase());
    expect(SendRequest.parse(send({ to: [text] })).to).toEqual([text.toLowerCase()]);
  });

  test.each([
    "",
    " ",
    "a b",
    " a",
    "a ",
    "a || b",
    "a\tb",
    "a\n",
    "a\r\nX: y",
    "a\0b",
    "\u007f",
    "é",
    "e\u0301",
    "ａ",
    "a\u200bb",
    "\ud800",
    "x".repeat(257),
    `${guid}\n`,
    1,
    null,
    true,
    {},
    ["a"],
  ])("%j is refused", (value) => {
    expect(rejects(UserId, value)).toBe(true);
    expect(rejects(SendRequest, send({ to: [value] }))).toBe(true);
    if (!Array.isArray(value)) expect(rejects(SendRequest, send({ to: value }))).toBe(true);
  });
});

describe("sendSecure's request", () => {
  test("has defaults for urgency alone; the rest stays open", () => {
    expect(SendRequest.parse(send({}))).toEqual({ to: ["alice"], payload: 1, urgency: "normal" });
  });

  test("takes a list of recipients as it stands, repeated ones too", () => {
    expect(SendRequest.parse(send({ to: ["a", "b", "a"] })).to).toEqual(["a", "b", "a"]);
    const most = Array.from({ length: MAX_RECIPIENTS }, (_, i) => `u${i}`);
    expect(SendRequest.parse(send({ to: most })).to).toEqual(most);
  });

  test.each([null, false, 0, "", [], {}, "x"])("R65: the payload %j is a payload", (payload) => {
    expect(SendRequest.parse(send({ payload })).payload).toEqual(payload);
  });

  test.each([
    { ttl: 60 },
    { ttl: 2_419_200 },
    { urgency: "very-low" },
    { urgency: "high" },
    { topic: "A-z_09" },
    { topic: "x".repeat(32) },
    { display: "silent" },
    { display: "alert" },
  ])("%j is taken", (members) => {
    expect(SendRequest.parse(send(members))).toMatchObject(members);
  });

  test.each([
    { to: "alice" }, // an array also for one user
    { to: [] },
    { to: undefined },
    { to: null },
    { to: {} },
    { to: { length: 1, 0: "a" } },
    { to: [["a"]] },
    { to: Array.from({ length: MAX_RECIPIENTS + 1 }, (_, i) => `u${i}`) },
    { payload: undefined },
    // R69 and R101: nothing is rounded, coerced or clamped
    { ttl: 59 },
    { ttl: 2_419_201 },
    { ttl: 0 },
    { ttl: -60 },
    { ttl: 60.5 },
    { ttl: Infinity },
    { ttl: Number.NaN },
    { ttl: 2 ** 63 },
    { ttl: "60" },
    { ttl: true },
    { ttl: [60] },
    { urgency: "urgent" },
    { urgency: "High" },
    { urgency: "" },
    { topic: "" },
    { topic: "x".repeat(33) },
    { topic: "a b" },
    { topic: "a.b" },
    { topic: "a+b" },
    { topic: "é" },
    { topic: "a\n" },
    { topic: 1 },
    { display: "loud" },
    // R65: unknown members
    { extra: 1 },
    { extra: null },
    { To: ["alice"] },
    { tags: ["a"] },
    { ttlSeconds: 60 },
    { constructor: 1 },
  ] as readonly object[])("R65: %j is refused", (members) => {
    expect(rejects(SendRequest, send(members))).toBe(true);
  });

  test.each([null, [], "x", 1, true, {}, { to: ["alice"] }, { payload: 1 }])("R65: %j is none", (value) => {
    expect(rejects(SendRequest, value)).toBe(true);
  });

  test("R67: a member named __proto__ gives the request nothing (json.ts refuses it before)", () => {
    const body: unknown = JSON.parse('{"to":["a"],"payload":1,"__proto__":{"ttl":60}}');
    const parsed = SendRequest.safeParse(body);
    expect(parsed.data?.ttl).toBeUndefined();
    expect(({} as { ttl?: number }).ttl).toBeUndefined();
  });

  test.each(["ttl", "urgency", "topic", "display"])("%s: null counts as absent", (name) => {
    expect(SendRequest.parse(send({ [name]: null }))).toEqual(SendRequest.parse(send({})));
  });

  test("issues do not contain the value", () => {
    for (const members of [
      { to: "mark er" },
      { to: ["mark er"] },
      { urgency: "mark er" },
      { topic: "mark er" },
      { display: "mark er" },
      { ttl: "mark er" },
    ]) {
      const parsed = SendRequest.safeParse(send(members));
      expect(parsed.success).toBe(false);
      expect(parsed.error?.message).not.toContain("mark er");
      expect(JSON.stringify(parsed.error?.issues)).not.toContain("mark er");
    }
  });
});

describe("installation ids", () => {
  test.each(["a", "A.b_c-9", "x".repeat(64), guid, "."])("%j is one", (text) => {
    expect(InstallationId.parse(text)).toBe(text);
  });

  test.each([
    "",
    "x".repeat(65),
    "a/b",
    "a\\b",
    "a b",
    "a%2Fb",
    "a#",
    "a?",
    "a'b",
    "é",
    "a\n",
    "\0",
    1,
    null,
  ])("R72: %j is none", (value) => {
    expect(rejects(InstallationId, value)).toBe(true);
  });
});

// The subscription's key is the example's of RFC 8291, appendix A.
const subscription = {
  endpoint: "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
  p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
  auth: "BTBZMqHH6r4Tts7J_aSIgg",
};
const browser = (members: object) => ({ platform: "browser", pushChannel: { ...subscription, ...members } });
const points = Buffer.from(subscription.p256dh, "base64url");

describe("registerInstallation's request", () => {
  test.each([
    ["apns", "00fcc13cb686823faa5f0ad8c4d1bd3a4be8fb0e8d9d1d3d3bd1a37bfe5d3dcf"],
    ["apns", "AB".repeat(256)],
    ["fcmv1", "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1"],
    ["adm", "amzn1.adm-registration.v3.Y29tLmFtYXpvbg!~"],
    ["xiaomi", "x".repeat(2048)],
    [
      "wns",
      "https://db5p.notify.windows.com/?token=AwYAAAD8sfbDrL9h7mN%2bmwlkSkQZCIfv4QKeu1hYRipj2zNvXaMi9ZA%3d",
    ],
    ["mpns", "https://db3.notify.live.net/throttledthirdparty/01.00/AgAAAAQUZm52"],
    ["wns", `https://wns.example/${"x".repeat(2028)}`],
  ])("of %s takes %s", (platform, pushChannel) => {
    expect(InstallationRequest.parse({ platform, pushChannel })).toEqual({ platform, pushChannel });
  });

  test("of a browser takes a subscription, whose auth is called authSecret here", () => {
    const { auth, ...others } = subscription;
    expect(InstallationRequest.parse(browser({}))).toEqual({
      platform: "browser",
      pushChannel: { ...others, authSecret: auth },
    });
  });

  test.each([
    ["apns", ""],
    ["apns", "abc"],
    ["apns", "zz"],
    ["apns", "ab cd"],
    ["apns", "<abcd>"],
    ["apns", "ab\n"],
    ["apns", "AB".repeat(257)],
    ["apns", 1],
    ["apns", subscription],
    ["fcmv1", ""],
    ["fcmv1", "a b"],
    ["fcmv1", "a\n"],
    ["fcmv1", "é"],
    ["fcmv1", "x".repeat(2049)],
    ["fcmv1", ["a"]],
    ["wns", subscription],
    ["browser", subscription.endpoint],
    ["browser", null],
    ["gcm", "a"],
    ["apple", "abcd"],
    ["APNS", "abcd"],
    ["", "a"],
    [null, "a"],
    ["__proto__", "a"],
  ])("R65: %j with %j is refused", (platform, pushChannel) => {
    expect(rejects(InstallationRequest, { platform, pushChannel })).toBe(true);
  });

  test.each(["userId", "tags", "owner", "installationId", "recipientKey", "expiresAt", "templates"])(
    "R41: a member %s is refused, here and in a subscription",
    (name) => {
      const good = { platform: "fcmv1", pushChannel: "a" };
      expect(rejects(InstallationRequest, good)).toBe(false);
      expect(rejects(InstallationRequest, { ...good, [name]: "a" })).toBe(true);
      expect(rejects(InstallationRequest, browser({ [name]: "a" }))).toBe(true);
    },
  );

  test("R142: what is wrong is told without the push channel", () => {
    for (const request of [
      { platform: "apns", pushChannel: "marker" },
      { platform: "fcmv1", pushChannel: "marker é" },
      { platform: "wns", pushChannel: "http://marker.example/" },
      browser({ endpoint: "http://marker.example/" }),
      browser({ p256dh: "marker" }),
      browser({ auth: "marker" }),
    ]) {
      const parsed = InstallationRequest.safeParse(request);
      expect(parsed.success).toBe(false);
      expect(JSON.stringify(parsed.error?.issues)).not.toContain("marker");
    }
  });
});

const forms = (uri: string) => [
  { platform: "wns", pushChannel: uri },
  { platform: "mpns", pushChannel: uri },
  browser({ endpoint: uri }),
];

describe("R130, R131 and R74: channel URIs and endpoints", () => {
  test.each([
    "",
    "x",
    "/path",
    "//push.example/",
    "http://push.example/a",
    "ftp://push.example/a",
    "file:///etc/passwd",
    "data:text/plain,x",
    "javascript:alert(1)",
    "wss://push.example/a",
    "https:",
    "https://",
    "https:push.example/a",
    "https:/push.example/a",
    "https:///push.example/a",
    "https://user@push.example/a",
    "https://user:password@push.example/a",
    "https://:password@push.example/a",
    "https://@push.example/a",
    "https://push.example/a#",
    "https://push.example/a#b",
    "https://push.example:443/a",
    "https://push.example:/a",
    "https://push.example:0443/a",
    "https://push.example:99999/a",
    "https://127.0.0.1\\@push.example/",
    "https:\\\\push.example\\a",
    "https://push.example/a/../b",
    "https://push.example/./a",
    "https://push.example/%2e%2e/a",
    "https://push.example/a b",
    "https://push.example/a\tb",
    "https://pu\nsh.example/a",
    " https://push.example/a",
    "https://push.example/a ",
    "https://push.example/a\n",
    "https://push.exam\u00adple/a", // soft hyphen
    "https://push\u3002example/a", // ideographic full stop
    "https://\uff50ush.example/a", // full-width letter
    "https://push.example/\u00e9",
    "https://b\u00fccher.example/a",
    "https://pu%73h.example/a",
    "https://127.1/",
    "https://0x7f.1/",
    "https://2130706433/",
    "https://0177.0.0.1/",
    "https://[::ffff:127.0.0.1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://push.example/\ud800",
    `https://push.example/${"x".repeat(2028)}`,
    // Letters that fold to ASCII ones in lower case
    "https://push.example/\u212a",
    "https://\u212apush.example/a", // the Kelvin sign: to a URL parser, as to toLowerCase, a k
    "https://push.example/\u0130",
  ])("%j is refused", (uri) => {
    for (const request of forms(uri)) expect(rejects(InstallationRequest, request)).toBe(true);
  });

  test.each([
    ["https://push.example/a", "https://push.example/a"],
    ["https://push.example:8443/a?b=c%2fD&e", "https://push.example:8443/a?b=c%2fD&e"],
    ["https://push.example", "https://push.example/"],
    ["HTTPS://Push.EXAMPLE/A", "https://push.example/A"],
    ["https://xn--bcher-kva.example/a", "https://xn--bcher-kva.example/a"],
    ["https://push.example//a//b/;c=d", "https://push.example//a//b/;c=d"],
  ])("%j is kept in its normalized form %j", (uri, normalized) => {
    const [wns, mpns, web] = forms(uri).map((request) => InstallationRequest.parse(request).pushChannel);
    expect([wns, mpns]).toEqual([normalized, normalized]);
    expect(web).toMatchObject({ endpoint: normalized });
  });
});

const { testGroups } = z
  .object({
    testGroups: z.array(
      z.object({
        tests: z.array(
          z.object({
            tcId: z.number(),
            comment: z.string(),
            public: z.string(),
            result: z.enum(["valid", "invalid", "acceptable"]),
          }),
        ),
      }),
    ),
  })
  .parse(
    JSON.parse(readFileSync(new URL("../vectors/ecdh_secp256r1_ecpoint_test.json", import.meta.url), "utf8")),
  );

const toBytes = (n: bigint) => Buffer.from(n.toString(16).padStart(64, "0"), "hex");
const make = (first: number, ...parts: readonly Uint8Array[]) =>
  Buffer.concat([Buffer.from([first]), ...parts]);
const convert = (point: Uint8Array, form: "uncompressed" | "compressed" | "hybrid") => {
  const text = ECDH.convertKey(point, "prime256v1", undefined, "hex", form);
  if (typeof text !== "string") throw new Error("no text");
  return Buffer.from(text, "hex");
};
const toText = (hex: string) => Buffer.from(hex, "hex").toString("base64url");

describe("R73: a subscription's keys", () => {
  const cases = testGroups.flatMap((group) => group.tests);

  test("every valid point of Wycheproof's file is taken", () => {
    const valid = cases.filter((row) => row.result === "valid");
    expect(valid).toHaveLength(330);
    for (const row of valid)
      expect(rejects(InstallationRequest, browser({ p256dh: toText(row.public) })), `${row.tcId}`).toBe(
        false,
      );
  });

  test.each(cases.filter((row) => row.result !== "valid"))("tcId $tcId is refused: $comment", (row) => {
    expect(rejects(InstallationRequest, browser({ p256dh: toText(row.public) }))).toBe(true);
  });

  const x = points.subarray(1, 33);
  const y = points.subarray(33);
  const p = BigInt("0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
  const compressed = convert(points, "compressed");
  const hybrid = convert(points, "hybrid");

  test.each<readonly [string, Uint8Array]>([
    ["the compressed form", compressed],
    ["the hybrid form of the point", hybrid],
    ["the compressed form, filled up to 65 bytes", make(compressed[0] ?? 0, x, Buffer.alloc(32))],
    ["the point at infinity", Buffer.alloc(1)],
    ["the point at infinity, filled up to 65 bytes", Buffer.alloc(65)],
    ["zero for both coordinates", make(4, Buffer.alloc(64))],
    ["coordinates exchanged", make(4, y, x)],
    ["a coordinate one too large", make(4, x, toBytes(BigInt(`0x${y.toString("hex")}`) + 1n))],
    ["the field's prime for x", make(4, toBytes(p), y)],
    ["all bits set", make(4, Buffer.alloc(64, 255))],
    ["first byte 2", make(2, x, y)],
    ["first byte 5", make(5, x, y)],
    ["64 bytes, without the first", points.subarray(1)],
    ["64 bytes, without the last", points.subarray(0, 64)],
    ["66 bytes", Buffer.concat([points, Buffer.alloc(1)])],
    ["nothing", Buffer.alloc(0)],
  ])("p256dh: %s is refused", (_, bytes) => {
    expect(rejects(InstallationRequest, browser({ p256dh: Buffer.from(bytes).toString("base64url") }))).toBe(
      true,
    );
  });

  test("a coordinate that is the prime added to a small one is refused", () => {
    // x = 5 lies on the curve; x + p fits 256 bits and names the same point to a lenient reader.
    const bytes = convert(make(2, toBytes(5n)), "uncompressed");
    expect(rejects(InstallationRequest, browser({ p256dh: bytes.toString("base64url") }))).toBe(false);
    toBytes(5n + p).copy(bytes, 1);
    expect(rejects(InstallationRequest, browser({ p256dh: bytes.toString("base64url") }))).toBe(true);
  });

  test.each([
    ["standard base64", points.toString("base64").replace(/=+$/, "")],
    ["padding", `${subscription.p256dh}=`],
    ["a stray bit at the end", `${subscription.p256dh.slice(0, -1)}5`],
    ["a space", `${subscription.p256dh} `],
    ["a line break", `${subscription.p256dh.slice(0, 40)}\n${subscription.p256dh.slice(40)}`],
    ["hexadecimal", points.toString("hex")],
    ["bytes in an array", [...points]],
    ["null", null],
  ])("p256dh: %s is refused", (_, p256dh) => {
    expect(rejects(InstallationRequest, browser({ p256dh }))).toBe(true);
  });

  test.each([
    ["15 bytes", Buffer.alloc(15).toString("base64url")],
    ["17 bytes", Buffer.alloc(17).toString("base64url")],
    ["padding", `${subscription.auth}==`],
    ["standard base64", Buffer.alloc(16, 255).toString("base64").replace(/=+$/, "")],
    ["a stray bit at the end", `${subscription.auth.slice(0, -1)}h`],
    ["nothing", ""],
    ["a number", 1],
  ])("auth: %s is refused", (_, auth) => {
    expect(rejects(InstallationRequest, browser({ auth }))).toBe(true);
  });

  test.each(["endpoint", "p256dh", "auth"])("%s has to be there", (name) => {
    expect(rejects(InstallationRequest, browser({ [name]: undefined }))).toBe(true);
  });
});

test.each<readonly [readonly PushStatus[], PushStatus]>([
  [["accepted", "pending", "failed", "noDevices"], "pending"],
  [["accepted", "failed", "noDevices"], "failed"],
  [["noDevices", "accepted"], "accepted"],
  [["noDevices", "noDevices"], "noDevices"],
  [[], "noDevices"],
])("over recipients with %j the push is %s", (statuses, status) => {
  expect(toPushStatus(statuses)).toBe(status);
  expect(toPushStatus(statuses.toReversed())).toBe(status);
});

test("a user id is no plain text by type", () => {
  expectTypeOf<string>().not.toExtend<UserId>();
  expectTypeOf<UserId>().toExtend<string>();
});
