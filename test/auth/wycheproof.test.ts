// Every case of Wycheproof's signature and key set files through the steps that the verifier takes: header, key,
// signature. All asymmetric algorithms are allowed here; symmetric ones never are, so their valid cases are refused.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { parseJws, verifySignature } from "../../shared/auth/jws.ts";
import { toAsymmetric, toVerificationKeys } from "../../shared/auth/keySet.ts";

const algorithms = toAsymmetric([
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  // Not asymmetric: dropped.
  "none",
  "HS256",
  "HS384",
  "HS512",
]);

const Jwk = z.record(z.string(), z.unknown());
const File = z.object({
  testGroups: z.array(
    z.object({
      comment: z.string(),
      public: Jwk.optional(),
      private: Jwk.optional(),
      tests: z.array(
        z.object({
          tcId: z.number(),
          comment: z.string(),
          jws: z.unknown(),
          result: z.enum(["valid", "invalid"]),
        }),
      ),
    }),
  ),
});

function readCases(name: string) {
  const path = new URL(`../vectors/${name}`, import.meta.url);
  return File.parse(JSON.parse(readFileSync(path, "utf8"))).testGroups.flatMap((group) =>
    group.tests.map((row) => ({
      ...row,
      title: `tcId ${row.tcId}, ${group.comment}: ${row.comment}`,
      key: group.public ?? group.private ?? {},
    })),
  );
}

async function isVerified(jws: unknown, keySet: unknown): Promise<boolean> {
  if (typeof jws !== "string") return false; // the header carries text and nothing else
  const parsed = parseJws(jws, { algorithms, tokenType: "any" });
  if (!parsed.ok) return false;
  const set = await toVerificationKeys(keySet, { algorithms });
  const key = set.ok ? set.value.keys.get(parsed.value.kid)?.get(parsed.value.alg)?.cryptoKey : undefined;
  return key !== undefined && verifySignature(parsed.value, key);
}

// vectors/README.md says why.
const defects = new Set([346, 347, 350, 351, 367, 370, 372, 373]);

describe("json_web_signature_test.json", () => {
  const cases = readCases("json_web_signature_test.json").filter(({ tcId }) => !defects.has(tcId));

  test("R7, R10: 401 cases are there, less 8 defects", () => {
    expect(cases).toHaveLength(393);
  });

  test.each(cases)("$title is $result", async ({ jws, key, result, comment }) => {
    const isSymmetric = key["kty"] === "oct";
    const isJwt = comment !== "emptyPayload";
    const wanted = result === "valid" && !isSymmetric && isJwt;
    expect(await isVerified(jws, { keys: [key] })).toBe(wanted);
  });
});

describe("json_web_key_test.json", () => {
  const cases = readCases("json_web_key_test.json");

  test("R31: 26 cases are there", () => {
    expect(cases).toHaveLength(26);
  });

  test.each(cases)("$title is $result", async ({ jws, key, result }) => {
    const isSymmetric = JSON.stringify(key).includes('"oct"');
    expect(await isVerified(jws, key)).toBe(result === "valid" && !isSymmetric);
  });
});
