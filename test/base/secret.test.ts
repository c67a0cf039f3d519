import { inspect } from "node:util";
import { expect, test } from "vitest";
import { Secret } from "../../shared/base/secret.ts";

test("a secret does not print, however it is turned into text, and gives its value only when asked", () => {
  const secret = new Secret("marker");
  for (const text of [String(secret), JSON.stringify({ secret }), inspect({ secret }, { showHidden: true })])
    expect(text).not.toContain("marker");
  expect(secret.reveal()).toBe("marker");
});
