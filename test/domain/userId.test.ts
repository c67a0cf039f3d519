import { expect, test } from "vitest";
import { toUserId } from "../../shared/domain/userId.ts";

const A = "0A1B2C3D-0000-4000-8000-ABCDEFABCDEF";
const B = "11111111-2222-4333-8444-55555555AAAA";

test.each([
  ["alice", "alice"],
  ["Alice", "Alice"],
  ["auth0|5f7C", "auth0|5f7C"],
  ["!", "!"],
  ["~".repeat(256), "~".repeat(256)],
  [A, A.toLowerCase()],
  [`${A}.${B}`, `${A}.${B}`.toLowerCase()],
  [`${A}.${B}.${A}`, `${A}.${B}.${A}`], // three are no form of ours
  [`${A}.Alice`, `${A}.Alice`],
  [`{${A}}`, `{${A}}`],
])("the text %j is the user id %j", (text, userId) => {
  expect(toUserId(text)).toBe(userId);
});

test.each([
  "",
  " ",
  "a b",
  "a\n",
  "\talice",
  "ålice",
  "a\u007f",
  "a\u0000",
  "~".repeat(257),
  "a".repeat(10_240),
])("the text %j is no user id", (text) => {
  expect(toUserId(text)).toBeUndefined();
});
