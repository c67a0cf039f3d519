import { describe, expect, test } from "vitest";
import { MAX_TOKEN_CHARACTERS, parseBearer, splitToken } from "../../shared/auth/bearer.ts";

// "{}", "{}", and three bytes: every part has one spelling only.
const token = "e30.e30.AAAA";

describe("R2: without a bearer credential the token is missing, not wrong", () => {
  test.each([
    null,
    "",
    "Basic dXNlcjpwYXNz",
    'Digest username="a", realm="b"',
    "Bearer",
    "Bearer ",
    "Bearerx",
    token,
  ])("%j", (header) => {
    expect(parseBearer(header)).toEqual({ ok: false, error: { reason: "token_missing" } });
  });
});

describe("R3: the scheme is read without regard to case", () => {
  test.each(["Bearer", "bearer", "BEARER", "bEaReR"])("%s", (scheme) => {
    expect(parseBearer(`${scheme} ${token}`)).toEqual({ ok: true, value: token });
  });
});

describe("R4, R12: what is not three parts of canonical base64url is refused", () => {
  test.each([
    ["a space before the signature", "e30.e30. AAAA"],
    ["a space after it", `${token} `],
    ["a tab before it", `\t${token}`],
    ["padding", `${token}=`],
    ["padding inside", "e30=.e30.AAAA"],
    ["unused bits of the last character", "e30.e30.AAB"],
    ["unused bits in the header", "e31.e30.AAAA"],
    ["a lone character at the end", "e30.e30.AAAAA"],
    ["the other base64 alphabet", "e30.e30.++//"],
    ["a line feed", `${token}\n`],
    ["a second word", `${token} ${token}`],
    ["one part", "e30"],
    ["two parts", "e30.e30"],
    ["four parts", `${token}.AAAA`],
    ["five parts, as encrypted tokens have", "e30.AAAA.AAAA.AAAA.AAAA"],
    ["no signature", "e30.e30."],
    ["no payload", "e30..AAAA"],
    ["no header", ".e30.AAAA"],
    ["a JSON serialization", '{"payload":"e30"}'],
    ["a letter outside ASCII", "e30.e30.AAAÄ"],
  ])("%s", (_what, text) => {
    expect(parseBearer(`Bearer ${text}`)).toEqual({
      ok: false,
      error: { reason: "token_rejected", detail: "token_form" },
    });
    expect(splitToken(text)).toBeUndefined();
  });
});

describe("R5: more than one credential is refused, whichever would be good", () => {
  test.each([
    `Bearer ${token}, Bearer ${token}`,
    `Bearer ${token},Bearer ${token}`,
    `Bearer ${token}, bearer x`,
    `Bearer x, Bearer ${token}`,
    `Bearer ${token}, Basic dXNlcjpwYXNz`,
    `Basic dXNlcjpwYXNz, Bearer ${token}`,
    `Basic dXNlcjpwYXNz,bearer ${token}`,
    `Bearer ${token}, `,
    `Bearer ${token},${token}`,
  ])("%s", (header) => {
    expect(parseBearer(header)).toEqual({ ok: false, error: { reason: "credentials_ambiguous" } });
  });
});

test("R6: a token of 16 KiB is read, one character more is refused", () => {
  const longest = `e30.e30.${"A".repeat(MAX_TOKEN_CHARACTERS - 8)}`;
  expect(longest.length).toBe(16_384);
  expect(parseBearer(`Bearer ${longest}`).ok).toBe(true);
  expect(splitToken(`${longest}AAAA`)).toBeUndefined();
  expect(parseBearer(`Bearer ${"A".repeat(200_000)}`).ok).toBe(false);
});
