// Wrapping keys under keys from settings.
import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { createLocalKeyWrapper, KeyUnavailableError } from "../../shared/crypto/kek.ts";
import { Secret } from "../../shared/base/secret.ts";

const signal = new AbortController().signal;
const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const wrapperOf = (...keks: readonly Uint8Array[]) =>
  createLocalKeyWrapper(keks.map((kek) => new Secret<Uint8Array>(kek)));

// RFC 3394 §4.6: 256 bits of key data under a 256-bit key-encryption key.
const rfc3394 = {
  kek: hex("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"),
  key: hex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"),
  wrapped: hex("28C9F404C4B810F4 CBCCB35CFB87F826 3F5786E2D80ED326 CBC7F0E71A99F43B FB988B9B7A02DD21"),
};

test("the example of RFC 3394 §4.6 is reproduced, and unwraps", async () => {
  const wrapper = wrapperOf(rfc3394.kek);
  const { kekId, wrapped } = await wrapper.wrap(rfc3394.key, signal);
  expect(Buffer.from(wrapped).toString("hex")).toBe(rfc3394.wrapped.toString("hex"));
  expect(Buffer.from(await wrapper.unwrap({ kekId, wrapped: rfc3394.wrapped }, signal))).toEqual(rfc3394.key);
});

describe("a wrapped key that was changed is unavailable, never another key", () => {
  const wrapper = wrapperOf(rfc3394.kek);

  test("in any one bit", async () => {
    const { kekId } = await wrapper.wrap(rfc3394.key, signal);
    for (let bit = 0; bit < rfc3394.wrapped.length * 8; bit++) {
      const wrapped = Buffer.from(rfc3394.wrapped);
      wrapped.writeUInt8(wrapped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      await expect(wrapper.unwrap({ kekId, wrapped }, signal)).rejects.toBeInstanceOf(KeyUnavailableError);
    }
  });

  test("in its length", async () => {
    const { kekId, wrapped } = await wrapper.wrap(rfc3394.key, signal);
    for (const other of [
      ...Array.from({ length: wrapped.length }, (_, length) => wrapped.subarray(0, length)),
      Buffer.concat([wrapped, Buffer.alloc(1)]),
      Buffer.concat([wrapped, Buffer.alloc(8)]),
      Buffer.concat([wrapped, wrapped]),
    ])
      await expect(wrapper.unwrap({ kekId, wrapped: other }, signal)).rejects.toBeInstanceOf(
        KeyUnavailableError,
      );
  });

  test("in the name of its key-encryption key", async () => {
    const { kekId, wrapped } = await wrapper.wrap(rfc3394.key, signal);
    for (const other of ["", "local:", kekId.toUpperCase(), `${kekId} `, "https://vault.example/keys/k/1"])
      await expect(wrapper.unwrap({ kekId: other, wrapped }, signal)).rejects.toBeInstanceOf(
        KeyUnavailableError,
      );
  });
});

describe("R141: rolling key-encryption keys", () => {
  const [older, newer, foreign] = [randomBytes(32), randomBytes(32), randomBytes(32)] as const;
  const key = randomBytes(32);

  test("the newest wraps; the older opens what it wrapped while it is listed", async () => {
    const old = await wrapperOf(older).wrap(key, signal);
    const rolled = wrapperOf(newer, older);
    const fresh = await rolled.wrap(key, signal);
    expect(fresh.kekId).not.toBe(old.kekId);
    expect(Buffer.from(await rolled.unwrap(old, signal))).toEqual(key);
    expect(Buffer.from(await wrapperOf(newer).unwrap(fresh, signal))).toEqual(key);
  });

  test("what a removed one wrapped is unavailable, the rest is not", async () => {
    const old = await wrapperOf(older).wrap(key, signal);
    const rolled = wrapperOf(newer);
    await expect(rolled.unwrap(old, signal)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
    expect(Buffer.from(await rolled.unwrap(await rolled.wrap(key, signal), signal))).toEqual(key);
  });

  test("the right name does not make a wrong key fit", async () => {
    const { wrapped } = await wrapperOf(foreign).wrap(key, signal);
    const { kekId } = await wrapperOf(newer).wrap(key, signal);
    await expect(wrapperOf(newer).unwrap({ kekId, wrapped }, signal)).rejects.toMatchObject({
      code: "KEY_UNAVAILABLE",
    });
  });
});

test("a name is the same in every process, differs from key to key, and tells nothing of the key", async () => {
  const kek = randomBytes(32);
  const names = await Promise.all(
    [kek, kek, randomBytes(32)].map(async (one) => (await wrapperOf(one).wrap(rfc3394.key, signal)).kekId),
  );
  expect(names[0]).toBe(names[1]);
  expect(names[0]).not.toBe(names[2]);
  expect(names[0]).toMatch(/^local:[0-9a-f]{16}$/);
  expect(kek.toString("hex")).not.toContain(names[0]?.slice(6));
});

test("an unavailable key's error holds neither key", async () => {
  const kek = randomBytes(32);
  const key = randomBytes(32);
  const { kekId, wrapped } = await wrapperOf(kek).wrap(key, signal);
  const error: unknown = await wrapperOf(kek)
    .unwrap({ kekId, wrapped: Buffer.concat([wrapped, key]) }, signal)
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(KeyUnavailableError);
  const text = inspect(error, { depth: 10, showHidden: true });
  for (const secret of [kek, key])
    for (const encoding of ["hex", "base64", "base64url"] as const)
      expect(text).not.toContain(secret.toString(encoding));
});

test.each([0, 16, 24, 31, 33, 64])("R154: a key-encryption key of %i bytes is refused", (length) => {
  expect(() => wrapperOf(randomBytes(length))).toThrow("must be 32 bytes");
  expect(() => wrapperOf(randomBytes(32), randomBytes(length))).toThrow("must be 32 bytes");
});

test("R154: no key-encryption key at all is refused", () => {
  expect(() => wrapperOf()).toThrow("no local key-encryption key");
});
