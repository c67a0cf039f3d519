// When, how often and from where an issuer's keys are fetched, and which of them are used: against a real issuer over
// HTTP that fails in the ways issuers fail. Time is the verifier's own clock, moved by hand.
import { describe, expect, test } from "vitest";
import { createIssuerKeys } from "../../shared/auth/issuer.ts";
import {
  createFetchFor,
  createSigningKey,
  createTestIssuer,
  createTestVerifier,
  createToken,
  type Behaviour,
  type Json,
  type SigningKey,
  type TestIssuer,
  type TestVerifier,
} from "../helpers/issuer.ts";
import { silentLog } from "../helpers/store.ts";

const never = new AbortController().signal;
const one = createSigningKey("one");
const two = createSigningKey("two");

async function ask(by: TestVerifier, key: SigningKey, header: Json = {}, signal = never): Promise<string> {
  const result = await by.verifyDevice(createToken({ key, header, claims: by.deviceClaims() }), signal);
  return result.ok ? "ok" : result.error.reason;
}

async function createPair(...keys: readonly SigningKey[]): Promise<{
  readonly issuer: TestIssuer;
  readonly verifier: TestVerifier;
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}> {
  const issuer = await createTestIssuer();
  issuer.publish(...keys.map((key) => key.jwk));
  return { issuer, verifier: createTestVerifier([issuer.issuer]), [Symbol.asyncDispose]: issuer.close };
}

function symmetricKeys(count: number): readonly Json[] {
  return Array.from({ length: count }, (_, i) => ({ kty: "oct", kid: `x${i}`, k: "AA" }));
}

/** Why fetches failed, as the log says. */
function causes(verifier: TestVerifier): readonly string[] {
  return verifier.lines.flatMap(
    (line) => /"event":"issuer_keys_unavailable".*"cause":"(.*?)"/.exec(line)?.[1] ?? [],
  );
}

const failures: readonly [Behaviour, string][] = [
  ["status500", "status_500"],
  ["reset", "unreachable"],
  ["redirect", "status_302"],
  ["junk", "form"],
  ["huge", "too_large"],
  ["wrongShape", "form"],
];

describe("R15, R28: without usable documents the answer is issuer_unavailable, and the log says why", () => {
  test.each([
    ...failures.map(([behaviour, cause]) => ["discovery", behaviour, `discovery_${cause}`] as const),
    ...failures.map(([behaviour, cause]) => ["keySet", behaviour, `key_set_${cause}`] as const),
    ["discovery", "wrongIssuer", "discovery_of_another_issuer"] as const,
  ])("%s: %s is %s", async (document, behaviour, cause) => {
    await using pair = await createPair(one);
    const { issuer, verifier } = pair;
    if (document === "discovery") issuer.discover(behaviour);
    else issuer.serveKeys(behaviour);
    expect(await ask(verifier, one)).toBe("issuer_unavailable");
    expect(causes(verifier)).toEqual([cause]);
    expect(verifier.lines.join("\n")).not.toMatch(/html|filler|broken|keys"?:\[/);
    // A redirect is not followed: the good document behind it was never asked for.
    expect(issuer.requests.discovery).toBe(1);
    expect(issuer.requests.keySet).toBe(document === "discovery" ? 0 : 1);
  });

  test.each<unknown>([
    "http://192.0.2.1/keys", // plain http elsewhere (RFC 5737: no such host)
    "http://localhost.example/keys",
    "file:///etc/passwd",
    "data:application/json,{}",
    "/keys",
    "",
    5,
    null,
    "https://user:password@localhost/keys",
  ])("a jwks_uri of %j is not fetched", async (address) => {
    await using pair = await createPair(one);
    pair.issuer.pointTo(address);
    expect(await ask(pair.verifier, one)).toBe("issuer_unavailable");
    expect(causes(pair.verifier)[0]).toMatch(/^(key_set_address_refused|discovery_form)$/);
    expect(pair.issuer.requests.keySet).toBe(0);
  });

  test("plain http is not spoken even to this machine where that is not allowed", async () => {
    await using issuer = await createTestIssuer();
    const verifier = createTestVerifier([issuer.issuer], { allowLoopback: false });
    expect(await ask(verifier, one)).toBe("issuer_unavailable");
    expect(causes(verifier)).toEqual(["discovery_address_refused"]);
    expect(issuer.requests.discovery).toBe(0);
  });

  test("discovery with a placeholder for the tenant is another issuer's", async () => {
    const tenant = "11111111-1111-4111-8111-111111111111";
    await using template = await createTestIssuer({
      issuer: "https://login.microsoftonline.com/{tenantid}/v2.0",
    });
    template.publish(one.jwk);
    const verifier = createTestVerifier([`https://login.microsoftonline.com/${tenant}/v2.0`], {
      fetch: createFetchFor(template),
    });
    expect(await ask(verifier, one)).toBe("issuer_unavailable");
    expect(causes(verifier)).toEqual(["discovery_of_another_issuer"]);
  });

  test("a set of more than 100 keys is refused, one of 100 is read", async () => {
    await using pair = await createPair();
    pair.issuer.publish(one.jwk, ...symmetricKeys(100));
    expect(await ask(pair.verifier, one)).toBe("issuer_unavailable");
    expect(causes(pair.verifier)).toEqual(["key_set_too_many_keys"]);
    pair.issuer.publish(one.jwk, ...symmetricKeys(99));
    pair.verifier.advance(1);
    expect(await ask(pair.verifier, one)).toBe("ok");
  });

  test("one issuer's failure is not another's", async () => {
    await using bad = await createPair();
    await using good = await createPair(one);
    bad.issuer.discover("status500");
    const both = createTestVerifier([good.issuer.issuer, bad.issuer.issuer]);
    const claims = both.deviceClaims({ iss: bad.issuer.issuer });
    expect((await both.verifyDevice(createToken({ key: one, claims }), never)).ok).toBe(false);
    expect(await ask(both, one)).toBe("ok");
  });
});

describe("R28: an issuer that cannot be reached is never the token's fault", () => {
  test("nothing listens", async () => {
    const { issuer, verifier, [Symbol.asyncDispose]: close } = await createPair(one);
    await close();
    expect(issuer.requests.discovery).toBe(0);
    expect(await ask(verifier, one)).toBe("issuer_unavailable");
    expect(await ask(verifier, createSigningKey("one"))).toBe("issuer_unavailable");
    expect(causes(verifier)).toEqual(["discovery_unreachable"]);
  });

  // These end by the fetch's own timeout, all at once.
  test("it takes the request and does not answer, or does not end its answer", async () => {
    const cases = [
      { document: "discovery", behaviour: "hang" },
      { document: "discovery", behaviour: "hangInBody" },
      { document: "key_set", behaviour: "hang" },
      { document: "key_set", behaviour: "hangInBody" },
    ] as const;
    await Promise.all(
      cases.map(async ({ document, behaviour }) => {
        await using pair = await createPair(one);
        if (document === "discovery") pair.issuer.discover(behaviour);
        else pair.issuer.serveKeys(behaviour);
        expect(await ask(pair.verifier, one)).toBe("issuer_unavailable");
        expect(causes(pair.verifier)).toEqual([`${document}_timeout`]);
      }),
    );
  });

  test("a caller that gives up is answered at once, and the request goes on for the others", async () => {
    await using pair = await createPair(one);
    const { issuer, verifier } = pair;
    issuer.serveKeys("hang");
    const asked = new Promise<void>((resolve) => {
      issuer.onRequest(() => {
        if (issuer.requests.keySet === 1) resolve();
      });
    });
    const impatient = new AbortController();
    const first = ask(verifier, one, {}, impatient.signal);
    const second = ask(verifier, one);
    await asked;
    impatient.abort();
    expect(await first).toBe("issuer_unavailable");
    expect(await ask(verifier, one, {}, impatient.signal)).toBe("issuer_unavailable");
    issuer.release();
    expect(await second).toBe("ok");
    expect(issuer.requests).toMatchObject({ discovery: 1, keySet: 1 });
  });
});

describe("R26: unknown kids do not make the service hammer the issuer", () => {
  test("500 one after the other and 200 at once cause no request beyond the first in 30 s", async () => {
    await using pair = await createPair(one);
    const { issuer, verifier } = pair;
    for (let i = 0; i < 500; i++)
      expect(await ask(verifier, one, { kid: `random-${i}` })).toBe("token_rejected");
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => ask(verifier, one, { kid: `parallel-${i}` })),
    );
    expect(new Set(answers)).toEqual(new Set(["token_rejected"]));
    expect(issuer.requests).toMatchObject({ discovery: 1, keySet: 1 });
    expect(await ask(verifier, one)).toBe("ok");
  });

  test("the next request comes after 30 s, and 200 callers share it", async () => {
    await using pair = await createPair(one);
    const { issuer, verifier } = pair;
    expect(await ask(verifier, one)).toBe("ok");
    verifier.advance(29);
    expect(await ask(verifier, two)).toBe("token_rejected");
    expect(issuer.requests.keySet).toBe(1);
    verifier.advance(1);
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(verifier, two)));
    expect(new Set(answers)).toEqual(new Set(["token_rejected"]));
    expect(issuer.requests).toMatchObject({ discovery: 2, keySet: 2 });
  });

  test("200 good tokens at a cold start share one request", async () => {
    await using pair = await createPair(one);
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(pair.verifier, one)));
    expect(new Set(answers)).toEqual(new Set(["ok"]));
    expect(pair.issuer.requests).toMatchObject({ discovery: 1, keySet: 1 });
  });
});

describe("R27: a failing issuer is asked less and less often", () => {
  test.each(["discovery", "keySet"] as const)(
    "200 good tokens, two a second, while %s answers 500",
    async (document) => {
      await using pair = await createPair(one);
      const { issuer, verifier } = pair;
      if (document === "discovery") issuer.discover("status500");
      else issuer.serveKeys("status500");
      for (let i = 0; i < 200; i++) {
        expect(await ask(verifier, one)).toBe("issuer_unavailable");
        verifier.advance(0.5);
      }
      expect(issuer.requests[document]).toBeLessThanOrEqual(10);
      expect(issuer.requests.discovery).toBeLessThanOrEqual(10);
    },
  );

  test("200 good tokens in the same second cause one request", async () => {
    await using pair = await createPair(one);
    pair.issuer.discover("status500");
    for (let i = 0; i < 200; i++) expect(await ask(pair.verifier, one)).toBe("issuer_unavailable");
    expect(pair.issuer.requests.discovery).toBe(1);
  });

  test("the cool-down is 1 s and doubles up to 30 s, and Retry-After says how long", async () => {
    await using pair = await createPair(one);
    const { issuer, verifier } = pair;
    issuer.discover("status500");
    let requests = 0;
    for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
      const token = createToken({ key: one, claims: verifier.deviceClaims() });
      expect(await verifier.verifyDevice(token, never)).toEqual({
        ok: false,
        error: { reason: "issuer_unavailable", retryAfterSeconds: seconds },
      });
      expect(issuer.requests.discovery).toBe(++requests);
      verifier.advance(seconds - 0.5);
      expect(await verifier.verifyDevice(token, never)).toMatchObject({ error: { retryAfterSeconds: 1 } });
      expect(issuer.requests.discovery).toBe(requests);
      verifier.advance(0.5);
    }
    issuer.discover("ok");
    expect(await ask(verifier, one)).toBe("ok");
  });

  test("a clock that is set back does not lengthen a cool-down", async () => {
    await using pair = await createPair(one);
    pair.issuer.discover("status500");
    expect(await ask(pair.verifier, one)).toBe("issuer_unavailable");
    pair.issuer.discover("ok");
    pair.verifier.advance(-3600);
    expect(await ask(pair.verifier, one)).toBe("ok");
  });
});

describe("R29: keys outlive an issuer that cannot be reached", () => {
  test.each<Behaviour>(["status500", "reset", "junk", "wrongIssuer", "hang"])(
    "a known kid is good past the refresh age when the refresh meets %s, an unknown one is undecided",
    async (behaviour) => {
      await using pair = await createPair(one);
      const { issuer, verifier } = pair;
      expect(await ask(verifier, one)).toBe("ok");
      issuer.discover(behaviour);
      verifier.advance(601);
      expect(await ask(verifier, one)).toBe("ok");
      expect(issuer.requests.discovery).toBe(2);
      expect(await ask(verifier, two)).toBe("issuer_unavailable");
    },
  );

  test("after 23 h 59 min without success they still work, after 24 h no more, and again once it is back", async () => {
    await using pair = await createPair(one);
    const { issuer, verifier } = pair;
    expect(await ask(verifier, one)).toBe("ok");
    issuer.discover("status500");
    verifier.advance(24 * 3600 - 60);
    expect(await ask(verifier, one)).toBe("ok");
    verifier.advance(60);
    expect(await ask(verifier, one)).toBe("issuer_unavailable");
    issuer.discover("ok");
    verifier.advance(30);
    expect(await ask(verifier, one)).toBe("ok");
  });

  test("a clock that is set back keeps them and asks again", async () => {
    await using pair = await createPair(one);
    expect(await ask(pair.verifier, one)).toBe("ok");
    pair.issuer.discover("status500");
    pair.verifier.advance(-48 * 3600);
    expect(await ask(pair.verifier, one)).toBe("ok");
    expect(pair.issuer.requests.discovery).toBe(2);
  });
});

describe("R30: keys come and go without a restart", () => {
  test("a key that is published works 30 s later at most", async () => {
    await using pair = await createPair(one);
    const { issuer, verifier } = pair;
    expect(await ask(verifier, one)).toBe("ok");
    verifier.advance(1);
    issuer.publish(one.jwk, two.jwk);
    expect(await ask(verifier, two)).toBe("token_rejected");
    verifier.advance(29);
    expect(await ask(verifier, two)).toBe("ok");
    expect(await ask(verifier, one)).toBe("ok");
  });

  test("random kids in between do not delay it beyond 60 s", async () => {
    await using pair = await createPair(one);
    const { issuer, verifier } = pair;
    await ask(verifier, one);
    verifier.advance(30);
    expect(await ask(verifier, one, { kid: "random" })).toBe("token_rejected");
    issuer.publish(two.jwk);
    for (let second = 0; second < 59; second++) {
      verifier.advance(1);
      await ask(verifier, one, { kid: `random-${second}` });
    }
    expect(await ask(verifier, two)).toBe("ok");
  });

  test("a key that is withdrawn stops working with the refresh that shows it", async () => {
    await using pair = await createPair(one, two);
    const { issuer, verifier } = pair;
    expect(await ask(verifier, one)).toBe("ok");
    issuer.publish(two.jwk);
    verifier.advance(599);
    expect(await ask(verifier, one)).toBe("ok");
    verifier.advance(1);
    expect(await ask(verifier, one)).toBe("token_rejected");
    expect(await ask(verifier, two)).toBe("ok");
  });

  test("a kid that is given to another key takes the old one's tokens with it", async () => {
    await using pair = await createPair(one);
    const { issuer, verifier } = pair;
    expect(await ask(verifier, one)).toBe("ok");
    const next = createSigningKey("one");
    issuer.publish(next.jwk);
    verifier.advance(600);
    expect(await ask(verifier, one)).toBe("token_rejected");
    expect(await ask(verifier, next)).toBe("ok");
  });

  test("an issuer that withdraws all keys leaves none", async () => {
    await using pair = await createPair(one);
    expect(await ask(pair.verifier, one)).toBe("ok");
    pair.issuer.publish();
    pair.verifier.advance(600);
    expect(await ask(pair.verifier, one)).toBe("token_rejected");
  });
});

describe("R31: an unsuitable key is left out, and the good one beside it works", () => {
  const short = createSigningKey("x", { bits: 2040 });
  const plain = createSigningKey("x");
  const { kid: _kid, ...nameless } = plain.jwk;
  test.each<[string, SigningKey, readonly Json[]]>([
    ["oct", plain, [{ kty: "oct", kid: "x", k: "c2VjcmV0", alg: "RS256" }]],
    ["use enc", plain, [{ ...plain.jwk, use: "enc" }]],
    ["use of another type", plain, [{ ...plain.jwk, use: ["sig"] }]],
    ["RSA of 2040 bits", short, [short.jwk]],
    ["two keys with one kid", plain, [plain.jwk, { ...two.jwk, kid: "x" }]],
    ["key_ops without verify", plain, [{ ...plain.jwk, use: undefined, key_ops: ["sign"] }]],
    ["key_ops that is a text", plain, [{ ...plain.jwk, key_ops: "verify" }]],
    ["another alg", plain, [{ ...plain.jwk, alg: "RS512" }]],
    ["the alg of encryption", plain, [{ ...plain.jwk, alg: "RSA-OAEP" }]],
    ["the private key", plain, [{ ...plain.privateKey.export({ format: "jwk" }), kid: "x", use: "sig" }]],
    ["exponent 1", plain, [{ ...plain.jwk, e: "AQ" }]],
    ["no modulus", plain, [{ ...plain.jwk, n: undefined }]],
    ["another kty", plain, [{ ...plain.jwk, kty: "EC", crv: "P-256" }]],
    ["no kid", plain, [nameless]],
    ["a kid that is a number", plain, [{ ...plain.jwk, kid: 5 }]],
  ])("%s", async (_what, key, unsuitable) => {
    await using pair = await createPair();
    pair.issuer.publish(...unsuitable, one.jwk);
    expect(await ask(pair.verifier, key)).toBe("token_rejected");
    expect(await ask(pair.verifier, one)).toBe("ok");
  });

  test.each<[string, Json]>([
    ["key_ops with verify", { use: undefined, key_ops: ["verify"] }],
    ["neither use nor key_ops", { use: undefined }],
    ["its alg", { alg: "RS256" }],
    ["members that are not known", { "x5t#S256": "AA", issuer: "x", x5c: ["AA"] }],
  ])("a key with %s is suitable", async (_what, members) => {
    await using pair = await createPair();
    pair.issuer.publish({ ...plain.jwk, ...members });
    expect(await ask(pair.verifier, plain)).toBe("ok");
  });

  const ec = createSigningKey("x", { alg: "ES256" });
  const { n: modulus = "" } = plain.jwk;
  test.each<[string, readonly Json[], readonly string[]]>([
    ["a symmetric key", [{ kty: "oct", kid: "x", k: "AA" }], ["RS256"]],
    ["a key for encryption", [{ ...two.jwk, kid: "x", use: "enc" }], ["RS256"]],
    ["a key of another algorithm", [{ ...two.jwk, kid: "x", alg: "RS512" }], ["RS256"]],
    ["a key that is too short", [short.jwk], ["RS256"]],
    ["a key that is no key", [{ kty: "RSA", kid: "x", e: "AQAB" }], ["RS256"]],
    ["the same key once more", [plain.jwk], ["RS256"]],
    ["the same key without use", [{ ...plain.jwk, use: undefined }], ["RS256"]],
    [
      "the same key with a zero byte before its modulus",
      [
        {
          ...plain.jwk,
          n: Buffer.from(`00${Buffer.from(modulus, "base64url").toString("hex")}`, "hex").toString(
            "base64url",
          ),
        },
      ],
      ["RS256"],
    ],
    ["a key of another type", [ec.jwk], ["RS256"]],
    ["a key of another type, which is allowed too", [ec.jwk], ["RS256", "ES256"]],
    [
      "a key of another algorithm, which is allowed too",
      [{ ...two.jwk, kid: "x", alg: "RS512" }],
      ["RS256", "RS512"],
    ],
  ])("R31: a key works beside %s of the same kid, in either order", async (_what, others, algorithms) => {
    for (const set of [
      [plain.jwk, ...others],
      [...others, plain.jwk],
    ]) {
      await using issuer = await createTestIssuer();
      issuer.publish(...set.map((jwk) => (jwk === plain.jwk ? { ...jwk, alg: "RS256" } : jwk)));
      expect(await ask(createTestVerifier([issuer.issuer], { algorithms }), plain)).toBe("ok");
    }
  });

  test("R31: each of two keys of one kid and different types verifies its own tokens", async () => {
    await using issuer = await createTestIssuer();
    issuer.publish(plain.jwk, ec.jwk);
    const by = createTestVerifier([issuer.issuer], { algorithms: ["RS256", "ES256"] });
    expect([await ask(by, plain), await ask(by, ec)]).toEqual(["ok", "ok"]);
    expect(await ask(by, createSigningKey("x", { alg: "ES256" }))).toBe("token_rejected");
  });

  test("what is no object in a set is passed over", async () => {
    await using pair = await createPair();
    pair.issuer.publish(null, 5, "key", [one.jwk], one.jwk);
    expect(await ask(pair.verifier, one)).toBe("ok");
    expect(pair.verifier.lines.join("\n")).toContain('"leftOut":4');
  });
});

/** Tokens that are asked about again and again, so that their signature is known. */
describe("a token seen before", () => {
  async function createSeen(...keys: readonly SigningKey[]) {
    const pair = await createPair(...keys);
    const token = createToken({ key: one, claims: pair.verifier.deviceClaims() });
    const askAgain = async () => {
      const result = await pair.verifier.verifyDevice(token, never);
      return result.ok ? "ok" : result.error.reason;
    };
    expect([await askAgain(), await askAgain()]).toEqual(["ok", "ok"]);
    return { ...pair, askAgain };
  }

  test("R30: is refused from the refresh on that shows its key withdrawn", async () => {
    await using seen = await createSeen(one, two);
    seen.issuer.publish(two.jwk);
    seen.verifier.advance(599);
    expect(await seen.askAgain()).toBe("ok");
    seen.verifier.advance(1);
    expect(await seen.askAgain()).toBe("token_rejected");
  });

  test("R30: is refused when another key took its kid, also after a refresh that somebody else caused", async () => {
    await using seen = await createSeen(one);
    seen.issuer.publish(createSigningKey("one").jwk);
    seen.verifier.advance(30);
    expect(await ask(seen.verifier, two)).toBe("token_rejected"); // an unknown kid: the keys are read again
    expect(seen.issuer.requests.keySet).toBe(2);
    expect(await seen.askAgain()).toBe("token_rejected");
  });

  test("is good again when its key comes back, and its signature is checked anew", async () => {
    await using seen = await createSeen(one);
    seen.issuer.publish(two.jwk);
    seen.verifier.advance(600);
    expect(await seen.askAgain()).toBe("token_rejected");
    seen.issuer.publish(one.jwk);
    seen.verifier.advance(30);
    expect(await seen.askAgain()).toBe("ok");
  });

  test("R18: is refused the moment its time and the tolerance are over", async () => {
    await using seen = await createSeen(one);
    for (const [seconds, reason] of [
      [3600 + 59.999, "ok"],
      [0.001, "token_rejected"],
    ] as const) {
      seen.verifier.advance(seconds);
      expect(await seen.askAgain()).toBe(reason);
    }
  });

  test("R20: is refused when the clock is set back before its beginning", async () => {
    await using seen = await createSeen(one);
    seen.verifier.advance(-61);
    expect(await seen.askAgain()).toBe("token_rejected");
    seen.verifier.advance(61);
    expect(await seen.askAgain()).toBe("ok");
  });

  test("R29: outlives an issuer that cannot be reached by 24 h and no more", async () => {
    await using pair = await createPair(one);
    const claims = pair.verifier.deviceClaims({ exp: pair.verifier.now().getTime() / 1000 + 47 * 3600 });
    const token = createToken({ key: one, claims });
    expect((await pair.verifier.verifyDevice(token, never)).ok).toBe(true);
    pair.issuer.discover("status500");
    pair.verifier.advance(24 * 3600 - 1);
    expect((await pair.verifier.verifyDevice(token, never)).ok).toBe(true);
    pair.verifier.advance(1);
    expect(await pair.verifier.verifyDevice(token, never)).toMatchObject({
      error: { reason: "issuer_unavailable" },
    });
  });

  test("R10: with another signature is another token", async () => {
    await using seen = await createSeen(one);
    const claims = seen.verifier.deviceClaims();
    const forged = createToken({ key: one, claims, signWith: createSigningKey("one").privateKey });
    expect((await seen.verifier.verifyDevice(forged, never)).ok).toBe(false);
    expect(await seen.askAgain()).toBe("ok");
    expect((await seen.verifier.verifyDevice(forged, never)).ok).toBe(false);
  });

  test("R35, R37: of a device never sends, and one of a sender opens no user route", async () => {
    await using pair = await createPair(one);
    const { verifier } = pair;
    const [device, sender] = [
      createToken({ key: one, claims: verifier.deviceClaims() }),
      createToken({ key: one, claims: verifier.senderClaims() }),
    ];
    for (let i = 0; i < 3; i++) {
      expect((await verifier.verifyDevice(device, never)).ok).toBe(true);
      expect((await verifier.verifySender(sender, never)).ok).toBe(true);
      expect(await verifier.verifySender(device, never)).toMatchObject({
        error: { reason: "scope_missing" },
      });
      expect(await verifier.verifyDevice(sender, never)).toMatchObject({
        error: { reason: "scope_missing" },
      });
    }
  });
});

test("a key set that is read again without a change keeps its key objects", async () => {
  await using pair = await createPair(one, two);
  let changes = 0;
  let nowMs = Date.UTC(2026, 0, 1);
  const keys = createIssuerKeys({
    issuer: pair.issuer.issuer,
    algorithms: new Set(["RS256"]),
    allowLoopback: true,
    log: silentLog,
    now: () => new Date(nowMs),
    onChange: () => changes++,
  });
  const first = await keys.find("one", "RS256", never);
  expect(changes).toBe(1);
  nowMs += 600_000;
  expect(keys.findFresh("one", "RS256")).toBeUndefined();
  pair.issuer.publish(two.jwk, one.jwk); // another order is no change
  const second = await keys.find("one", "RS256", never);
  expect(pair.issuer.requests.keySet).toBe(2);
  expect(first.ok && second.ok && first.value === second.value).toBe(true);
  expect(keys.findFresh("one", "RS256")).toBe(first.ok && first.value);
  expect(changes).toBe(1);
  pair.issuer.publish(one.jwk);
  nowMs += 600_000;
  await keys.find("one", "RS256", never);
  expect(changes).toBe(2);
});
