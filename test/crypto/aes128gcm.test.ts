// The encryption of push messages: the RFCs' examples byte for byte, and what other implementations make of ours.
import { createECDH } from "node:crypto";
import ece from "http_ece";
import { describe, expect, test } from "vitest";
import { decryptPush, decryptRecords, parseMessage } from "../../local/webPushMessage.ts";
import { encryptPush, encryptRecord, type Ephemeral } from "../../shared/crypto/aes128gcm.ts";
import vectors from "../vectors/webPush.json" with { type: "json" };

const bytes = (text: string) => Buffer.from(text, "base64url");

function toEcdh(privateKey: string) {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(bytes(privateKey));
  return ecdh;
}

const rfc8291 = vectors.rfc8291;
const receiver = {
  ecdh: toEcdh(rfc8291.userAgentPrivateKey),
  authSecret: bytes(rfc8291.authSecret),
};
const keys = { p256dh: rfc8291.userAgentPublicKey, authSecret: rfc8291.authSecret };
const PADDED = 128;

describe("RFC 8188", () => {
  const [single, double] = vectors.rfc8188;

  test("§3.1: the example of one record is made byte for byte", () => {
    if (single === undefined) throw new Error("no vector");
    const plaintext = Buffer.from(single.plaintext);
    const body = encryptRecord({
      inputKey: bytes(single.inputKey),
      salt: bytes(single.salt),
      keyId: bytes(single.keyId),
      plaintext,
      paddedBytes: plaintext.length,
      recordSize: single.recordSize,
    });
    expect(body.toString("base64url")).toBe(single.body);
  });

  test.each([
    ["3.1", single],
    ["3.2: two records, the first padded", double],
  ])("§%s: the browser's side reads the example", (_section, vector) => {
    if (vector === undefined) throw new Error("no vector");
    const message = parseMessage(bytes(vector.body));
    expect(message).toMatchObject({
      salt: bytes(vector.salt),
      keyId: bytes(vector.keyId),
      recordSize: vector.recordSize,
    });
    expect(decryptRecords(message, bytes(vector.inputKey)).toString()).toBe(vector.plaintext);
  });

  test("§2: a record that does not fit its size is refused", () => {
    const options = {
      inputKey: Buffer.alloc(16),
      salt: Buffer.alloc(16),
      keyId: Buffer.alloc(0),
      plaintext: Buffer.alloc(8),
    };
    expect(encryptRecord({ ...options, paddedBytes: 8, recordSize: 25 })).toHaveLength(21 + 25);
    expect(() => encryptRecord({ ...options, paddedBytes: 9, recordSize: 25 })).toThrow(RangeError);
    expect(() => encryptRecord({ ...options, paddedBytes: 7, recordSize: 4096 })).toThrow(RangeError);
  });
});

describe("RFC 8291", () => {
  test("appendix A is made byte for byte when its keys and salt are given (R121)", () => {
    const plaintext = Buffer.from(rfc8291.plaintext);
    const ecdh = toEcdh(rfc8291.serverPrivateKey);
    const ephemeral: Ephemeral = { ecdh, publicKey: ecdh.getPublicKey(), salt: bytes(rfc8291.salt) };
    const body = encryptPush(keys, plaintext, plaintext.length, ephemeral);
    expect(body.toString("base64url")).toBe(rfc8291.body);
    expect(decryptPush(bytes(rfc8291.body), receiver).toString()).toBe(rfc8291.plaintext);
  });

  test.each(["", "x", '{"secureId":"0"}', "é".repeat(PADDED / 2)])("http_ece decrypts ours: %j", (text) => {
    const body = encryptPush(keys, Buffer.from(text), PADDED);
    const params = {
      version: "aes128gcm" as const,
      privateKey: receiver.ecdh,
      authSecret: rfc8291.authSecret,
    };
    expect(ece.decrypt(body, params).toString()).toBe(text);
    expect(decryptPush(body, receiver).toString()).toBe(text);
  });

  test("§4: one record, whose size is larger than it, with the uncompressed key as its id (R121)", () => {
    const body = encryptPush(keys, Buffer.from("text"), PADDED);
    const { recordSize, keyId, records } = parseMessage(body);
    expect(keyId).toHaveLength(65);
    expect(keyId[0]).toBe(4);
    expect(recordSize).toBeGreaterThan(PADDED + 17);
    expect(records).toHaveLength(PADDED + 17);
  });

  test("every body has the same length, and none shares a salt, a key or a ciphertext (R122)", () => {
    const seen = new Set<string>();
    for (let i = 0; i < 300; i++) {
      const body = encryptPush(keys, Buffer.alloc(i % PADDED, 65), PADDED);
      expect(body).toHaveLength(231);
      const { salt, keyId, records } = parseMessage(body);
      for (const part of [salt, keyId, records]) seen.add(part.toString("hex"));
    }
    expect(seen.size).toBe(900);
  });

  test.each([
    ["off the curve", Buffer.concat([Buffer.of(4), Buffer.alloc(64, 1)])],
    ["at infinity", Buffer.of(0)],
    ["cut", bytes(keys.p256dh).subarray(0, 64)],
    ["empty", Buffer.alloc(0)],
  ])("a user agent's key that is %s is refused (R73)", (_what, point) => {
    const p256dh = point.toString("base64url");
    expect(() => encryptPush({ ...keys, p256dh }, Buffer.from("x"), PADDED)).toThrow();
  });
});

describe("the browser's side of the local push service is strict", () => {
  const body = encryptPush(keys, Buffer.from("text"), PADDED);
  const change = (at: number, value: number) => {
    const changed = Buffer.from(body);
    changed[at] = value;
    return changed;
  };

  test.each([
    ["an empty body", Buffer.alloc(0)],
    ["a cut header", body.subarray(0, 20)],
    ["a cut key id", body.subarray(0, 85)],
    ["no record", body.subarray(0, 86)],
    ["a cut record", body.subarray(0, -1)],
    ["a forged record", change(90, (body[90] ?? 0) ^ 1)],
    ["a record size below 18", change(18, 0).fill(0, 16, 20)],
    ["a record size that makes it several records", change(18, 0)],
    ["a compressed key", change(21, 2)],
    ["a key id of another length", change(20, 64)],
    ["another salt", change(0, (body[0] ?? 0) ^ 1)],
  ])("%s is refused", (_what, broken) => {
    expect(() => decryptPush(broken, receiver)).toThrow();
  });
});
