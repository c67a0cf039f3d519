// Cursors: what was made for a list leads back into it, and nothing else does.
import { createSecretKey, randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseCursor, toCursor } from "../../shared/crypto/cursor.ts";
import { createNotificationId, type Position, toPosition } from "../../shared/domain/id.ts";

const key = createSecretKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));
const createPosition = () => toPosition(createNotificationId(new Date(), new Date()));

// Computed apart from this code, by Python's hmac from RFC 2104: the hash of "sp1", whose list, which, and the position.
test("a fixed one", () => {
  const last = `F${"Z".repeat(28)}` as Position;
  const cursor = `${last}SBMA9LuuQ1Dn-lT1oOUbKHE9-jloKs9SXdToHTKwKvQ`;
  expect(toCursor(key, ["alice", "all"], last)).toBe(cursor);
  expect(parseCursor(key, ["alice", "all"], cursor)).toBe(last);
});

test("R75: one of another user, list or key is refused", () => {
  const position = createPosition();
  const cursor = toCursor(key, ["alice", "all"], position);
  expect(parseCursor(key, ["alice", "all"], cursor)).toBe(position);
  for (const context of [["bob", "all"], ["alice", "unread"], ["Alice", "all"], ["alice"], ["aliceall"], []])
    expect(parseCursor(key, context, cursor), context.join()).toBeUndefined();
  expect(parseCursor(createSecretKey(randomBytes(32)), ["alice", "all"], cursor)).toBeUndefined();
});

describe("R75: a forged one is refused", () => {
  const cursor = toCursor(key, ["alice", "all"], createPosition());

  test("whichever character was changed", () => {
    for (const [i, character] of cursor.split("").entries()) {
      const forged = `${cursor.slice(0, i)}${character === "1" ? "2" : "1"}${cursor.slice(i + 1)}`;
      expect(parseCursor(key, ["alice", "all"], forged), String(i)).toBeUndefined();
    }
  });

  test("also where its hash is written otherwise, but would be the same bytes", () => {
    const bytes = Buffer.from(cursor.slice(29), "base64url");
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const same = letters
      .split("")
      .map((letter) => cursor.slice(0, -1) + letter)
      .filter((text) => Buffer.from(text.slice(29), "base64url").equals(bytes));
    expect(same).toHaveLength(4);
    expect(same.filter((text) => parseCursor(key, ["alice", "all"], text) !== undefined)).toEqual([cursor]);
  });

  test("cut, padded, or any text", () => {
    const texts = [
      "",
      cursor.slice(1),
      cursor.slice(0, -1),
      `${cursor}=`,
      ` ${cursor}`,
      `${cursor}\n`,
      cursor + cursor,
    ];
    for (const text of texts) expect(parseCursor(key, ["alice", "all"], text), text).toBeUndefined();
    fc.assert(
      fc.property(fc.string({ maxLength: 100 }), (text) => {
        expect(parseCursor(key, ["alice", "all"], text)).toBeUndefined();
      }),
    );
  });
});
