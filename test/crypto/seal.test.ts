// Sealing at rest: third-party vectors, then everything that must not open.
import { createSecretKey, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { open, seal, SEAL_OVERHEAD_BYTES, toContext } from "../../shared/crypto/seal.ts";

const File = z.object({
  testGroups: z.array(
    z.object({
      ivSize: z.number(),
      keySize: z.number(),
      tagSize: z.number(),
      tests: z.array(
        z.object({
          tcId: z.number(),
          comment: z.string(),
          key: z.string(),
          iv: z.string(),
          aad: z.string(),
          msg: z.string(),
          ct: z.string(),
          tag: z.string(),
          result: z.enum(["valid", "invalid"]),
        }),
      ),
    }),
  ),
});
const { testGroups } = File.parse(
  JSON.parse(readFileSync(new URL("../vectors/aes_gcm_test.json", import.meta.url), "utf8")),
);
const hex = (text: string) => Buffer.from(text, "hex");
const isOurs = (group: (typeof testGroups)[number]) =>
  group.keySize === 256 && group.ivSize === 96 && group.tagSize === 128;

describe("Wycheproof's AES-GCM cases for a 256-bit key, 96-bit nonce and 128-bit tag", () => {
  const cases = testGroups.filter(isOurs).flatMap((group) => group.tests);

  test("there are as many as the file is known to hold, of both kinds", () => {
    expect(cases).toHaveLength(66);
    expect(new Set(cases.map((row) => row.result))).toEqual(new Set(["valid", "invalid"]));
  });

  test.each(cases)("tcId $tcId is $result $comment", ({ key, iv, aad, msg, ct, tag, result }) => {
    const opened = open(createSecretKey(hex(key)), hex(aad), hex(iv + ct + tag));
    expect(opened?.toString("hex")).toBe(result === "valid" ? msg : undefined);
  });
});

test("the cases of other key sizes do not open", () => {
  for (const { keySize, ivSize, tests } of testGroups)
    for (const { key, iv, aad, ct, tag } of keySize === 256 || ivSize !== 96 ? [] : tests)
      expect(() => open(createSecretKey(hex(key)), hex(aad), hex(iv + ct + tag))).toThrow(
        "Invalid key length",
      );
});

const key = createSecretKey(randomBytes(32));
const context = toContext("recipient", "id", "1767225600000");
const plain = Buffer.from('{"code":"123456"}');

test("R140: 1,000 equal payloads give 1,000 nonces and ciphertexts, none of which holds the payload", () => {
  const sealed = Array.from({ length: 1000 }, () => seal(key, context, plain));
  expect(new Set(sealed.map((bytes) => bytes.toString("hex", 0, 12))).size).toBe(1000);
  expect(new Set(sealed.map((bytes) => bytes.toString("hex", 12))).size).toBe(1000);
  for (const bytes of sealed) {
    expect(bytes).toHaveLength(plain.length + SEAL_OVERHEAD_BYTES);
    expect(bytes.includes("123456")).toBe(false);
    expect(open(key, context, bytes)?.equals(plain)).toBe(true);
  }
});

test("any bytes come back, none at all too", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 40 }), (bytes, bound) => {
      expect(open(key, bound, seal(key, bound, bytes))).toEqual(Buffer.from(bytes));
    }),
  );
});

describe("R98 and R140: what was sealed opens for nothing else", () => {
  const sealed = seal(key, context, plain);

  test.each([
    ["another recipient", toContext("recipient2", "id", "1767225600000")],
    ["another id", toContext("recipient", "id2", "1767225600000")],
    ["a later expiry", toContext("recipient", "id", "1767225600001")],
    ["the parts in another order", toContext("id", "recipient", "1767225600000")],
    ["the parts joined", toContext("recipientid", "1767225600000")],
    ["a part more", toContext("recipient", "id", "1767225600000", "")],
    ["a part less", toContext("recipient", "id")],
    ["no context", Buffer.alloc(0)],
    ["another version of the scheme", Buffer.from(context.toString().replace("sp1", "sp2"))],
    ["another letter case", Buffer.from(context.toString().toUpperCase())],
  ])("%s", (_, other) => {
    expect(open(key, other, sealed)).toBeUndefined();
  });

  test("another key", () => {
    expect(open(createSecretKey(randomBytes(32)), context, sealed)).toBeUndefined();
  });

  test("with any one bit flipped", () => {
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const flipped = Buffer.from(sealed);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(open(key, context, flipped)).toBeUndefined();
    }
  });

  test("cut at any length, from either end, down to nothing", () => {
    for (let length = 0; length < sealed.length; length++) {
      expect(open(key, context, sealed.subarray(0, length))).toBeUndefined();
      expect(open(key, context, sealed.subarray(sealed.length - length))).toBeUndefined();
    }
  });

  test("with bytes more, at any place", () => {
    for (let at = 0; at <= sealed.length; at++)
      for (const extra of [Buffer.alloc(1), Buffer.alloc(16), sealed])
        expect(
          open(key, context, Buffer.concat([sealed.subarray(0, at), extra, sealed.subarray(at)])),
        ).toBeUndefined();
  });

  test("with a part of another sealed text of the same key and context", () => {
    const other = seal(key, context, Buffer.from('{"code":"654321"}'));
    const end = sealed.length - 16;
    for (const [from, to] of [
      [0, 12],
      [12, end],
      [end, sealed.length],
    ] as const) {
      const mixed = Buffer.from(sealed);
      other.copy(mixed, from, from, to);
      expect(open(key, context, mixed)).toBeUndefined();
    }
  });
});

test("a context is its version and its parts, each behind a NUL", () => {
  expect(toContext("a", "b", "3").equals(Buffer.from("sp1\0a\0b\x003", "latin1"))).toBe(true);
});
