// What the document says of requests, and what the code takes of them: the same, as far as JSON Schema can say it.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type * as z from "zod";
import { createDocument } from "../../../scripts/document.ts";
import { InstallationRequest } from "../../../shared/domain/installation.ts";
import {
  EraseRequest,
  ListQuery,
  ReceiptsRequest,
  SendRequest,
} from "../../../shared/domain/notification.ts";
import { createContract, withoutNulls } from "../../helpers/contract.ts";

const { document } = createDocument();
const contract = createContract(document);

const point = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const subscription = { endpoint: "https://push.example/a", p256dh: point, auth: "BTBZMqHH6r4Tts7J_aSIgg" };

describe("schemas of requests", () => {
  const anything = fc.oneof(
    fc.constantFrom(null, true, 60, 60.5, 59, 2_419_201, "", "a", "a b", "é", "x".repeat(257), "60", [], {}),
    fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown>,
  );
  /** Each member good, bad, or not there. */
  const record = (members: Readonly<Record<string, fc.Arbitrary<unknown>>>) =>
    fc.record(
      Object.fromEntries(
        Object.entries({ ...members, extra: anything }).map(([name, good]) => [
          name,
          name === "extra"
            ? anything
            : fc.oneof({ weight: 4, arbitrary: good }, { weight: 1, arbitrary: anything }),
        ]),
      ),
      { requiredKeys: [] },
    );
  const user = fc.stringMatching(/^[!-~]{1,8}$/);
  const uri = fc.oneof(
    fc.webUrl({ validSchemes: ["https", "http", "HTTPS"], withFragments: true, withQueryParameters: true }),
    fc.constantFrom(
      "https://a",
      "https://a/|",
      "https://u:p@a/",
      "https://a:443/",
      "https://a/#",
      "https://é/",
    ),
  );
  const to = fc.oneof(
    fc.array(user, { minLength: 1, maxLength: 3 }),
    user,
    fc.array(fc.oneof({ weight: 9, arbitrary: user }, anything), { maxLength: 102 }),
  );
  const rows: readonly (readonly [string, z.ZodType, fc.Arbitrary<unknown>])[] = [
    [
      "SendRequest",
      SendRequest,
      record({
        to,
        payload: anything,
        ttl: fc.integer({ min: 50, max: 2_419_300 }),
        urgency: fc.constantFrom("very-low", "low", "normal", "high", "urgent"),
        topic: fc.stringMatching(/^[\w-]{0,33}$/),
        display: fc.constantFrom("alert", "silent", "loud"),
      }),
    ],
    ["ReceiptsRequest", ReceiptsRequest, record({ id: fc.string(), to })],
    ["EraseRequest", EraseRequest, record({ to })],
    [
      "InstallationRequest",
      InstallationRequest,
      record({
        platform: fc.constantFrom("apns", "fcmv1", "wns", "adm", "xiaomi", "browser", "mpns", "gcm"),
        pushChannel: fc.oneof(
          fc.stringMatching(/^[0-9A-Fa-f]{2,6}$/),
          user,
          uri,
          record({
            endpoint: uri,
            p256dh: fc.oneof(
              fc.constant(point),
              fc.uint8Array({ minLength: 64, maxLength: 66 }).map(toBase64Url),
            ),
            auth: fc.uint8Array({ minLength: 15, maxLength: 17 }).map(toBase64Url),
          }),
        ),
      }),
    ],
    [
      "InstallationRequest",
      InstallationRequest,
      fc.record(
        {
          platform: fc.constant("browser"),
          pushChannel: fc.constant(subscription),
          vapidPublicKey: fc.constantFrom(point, null, "", 1),
        },
        { requiredKeys: ["platform"] },
      ),
    ],
  ];

  test.each(rows)("%s: what the document refuses, the code refuses too", (name, schema, values) => {
    let taken = 0;
    fc.assert(
      fc.property(values, (value) => {
        const isTaken = schema.safeParse(value).success;
        if (isTaken) taken++;
        return !isTaken || contract.findMismatch(name, withoutNulls(value)) === undefined;
      }),
      { numRuns: 3000 },
    );
    expect(taken).toBeGreaterThan(10);
  });

  const send = (members: object) => ({ to: ["alice"], payload: 1, ...members });
  const browser = (members: object) => ({
    platform: "browser",
    pushChannel: { ...subscription, ...members },
  });
  test.each([
    ["SendRequest", SendRequest, {}],
    ["SendRequest", SendRequest, { to: ["alice"] }],
    ["SendRequest", SendRequest, { payload: 1 }],
    ["SendRequest", SendRequest, null],
    ["SendRequest", SendRequest, []],
    ["SendRequest", SendRequest, send({ to: ["a b"] })],
    ["SendRequest", SendRequest, send({ to: [""] })],
    ["SendRequest", SendRequest, send({ to: ["x".repeat(257)] })],
    ["SendRequest", SendRequest, send({ to: ["a\n"] })],
    ["SendRequest", SendRequest, send({ to: [] })],
    ["SendRequest", SendRequest, send({ to: ["a", "é"] })],
    ["SendRequest", SendRequest, send({ to: [["a"]] })],
    ["SendRequest", SendRequest, send({ to: Array.from({ length: 101 }, String) })],
    ["SendRequest", SendRequest, send({ to: null })],
    ["SendRequest", SendRequest, send({ ttl: 59 })],
    ["SendRequest", SendRequest, send({ ttl: 2_419_201 })],
    ["SendRequest", SendRequest, send({ ttl: 60.5 })],
    ["SendRequest", SendRequest, send({ ttl: "60" })],
    ["SendRequest", SendRequest, send({ to: "alice" })],
    ["SendRequest", SendRequest, send({ urgency: "urgent" })],
    ["SendRequest", SendRequest, send({ topic: "" })],
    ["SendRequest", SendRequest, send({ topic: "a.b" })],
    ["SendRequest", SendRequest, send({ topic: "x".repeat(33) })],
    ["SendRequest", SendRequest, send({ display: "loud" })],
    ["SendRequest", SendRequest, send({ extra: 1 })],
    ["ReceiptsRequest", ReceiptsRequest, { to: ["alice"] }],
    ["ReceiptsRequest", ReceiptsRequest, { id: "a", to: "alice" }],
    ["ReceiptsRequest", ReceiptsRequest, { id: 1, to: ["alice"] }],
    ["EraseRequest", EraseRequest, {}],
    ["EraseRequest", EraseRequest, { to: ["alice"], id: "a" }],
    ["InstallationRequest", InstallationRequest, {}],
    ["InstallationRequest", InstallationRequest, { platform: "apns" }],
    ["InstallationRequest", InstallationRequest, { platform: "gcm", pushChannel: "a" }],
    ["InstallationRequest", InstallationRequest, { platform: "apns", pushChannel: "abc" }],
    ["InstallationRequest", InstallationRequest, { platform: "apns", pushChannel: "ab".repeat(257) }],
    ["InstallationRequest", InstallationRequest, { platform: "fcmv1", pushChannel: "a b" }],
    ["InstallationRequest", InstallationRequest, { platform: "fcmv1", pushChannel: "x".repeat(2049) }],
    ["InstallationRequest", InstallationRequest, { platform: "fcmv1", pushChannel: "a", tags: [] }],
    ["InstallationRequest", InstallationRequest, { platform: "wns", pushChannel: "http://push.example/" }],
    ["InstallationRequest", InstallationRequest, { platform: "wns", pushChannel: "https:push.example/" }],
    ["InstallationRequest", InstallationRequest, { platform: "wns", pushChannel: "https://push.example/#a" }],
    ["InstallationRequest", InstallationRequest, { platform: "wns", pushChannel: subscription }],
    ["InstallationRequest", InstallationRequest, browser({ endpoint: "https://push.example/ü" })],
    ["InstallationRequest", InstallationRequest, browser({ endpoint: undefined })],
    ["InstallationRequest", InstallationRequest, browser({ auth: `${subscription.auth}==` })],
    ["InstallationRequest", InstallationRequest, browser({ auth: "BTBZMqHH6r4Tts7J_aSIgh" })], // not canonical
    ["InstallationRequest", InstallationRequest, browser({ p256dh: point.slice(1) })],
    ["InstallationRequest", InstallationRequest, browser({ p256dh: `A${point.slice(1)}` })], // compressed
    ["InstallationRequest", InstallationRequest, browser({ extra: 1 })],
  ] as const)("%s: the document refuses what the code does, row %#", (name, schema, value) => {
    expect(schema.safeParse(value).success).toBe(false);
    // As JSON carries it.
    expect(contract.findMismatch(name, JSON.parse(JSON.stringify(value)))).toBeDefined();
  });
});

function toBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

test.each(["unread", "limit", "cursor"])("listNotifications takes of %s what the document says", (name) => {
  const parameters = document.paths["/notifications"]?.["get"]?.parameters ?? [];
  const parameter = parameters.find((one) => one.name === name);
  if (parameter === undefined) throw new Error("not documented");
  const numbers = [
    "0",
    "1",
    "9",
    "10",
    "99",
    "100",
    "101",
    "-1",
    "1.5",
    "20x",
    "1e1",
    "",
    " 1",
    "1000",
    "0x10",
  ];
  for (const text of [...numbers, "true", "false", "True", "yes", "null"]) {
    const isTaken = ListQuery.safeParse({ [name]: text }).success;
    expect([text, contract.findParameterMismatch(parameter, text) === undefined]).toEqual([text, isTaken]);
  }
});
