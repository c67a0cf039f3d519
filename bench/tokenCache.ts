// Question: what does verifying a token cost that was seen before, beside jose's jwtVerify with a remote key set?
// Variants alternate, each in a fresh process; CPU time of the whole process for each verification. Both check signature,
// issuer, audience and times; ours also the scope and the user. Run: npm run bench -- tokenCache
import { generateKeyPairSync } from "node:crypto";
import { createRemoteJWKSet, customFetch, jwtVerify, SignJWT } from "jose";
import { createTokenVerifier } from "../shared/auth/token.ts";
import { createLog } from "../shared/base/log.ts";
import { runChild } from "./helpers/children.ts";
import { reportAtLeast, toRatios, toSummary } from "./helpers/report.ts";

const ROUNDS = 7;
const TOKENS = 500;
const LIMIT = 20; // times less CPU
const ISSUER = "https://issuer.example";
const AUDIENCE = "api://secure-push";
const VARIANTS = ["ours", "ours, unseen", "jose"] as const;
const ALGORITHMS = ["RS256", "ES256"] as const;
/** Verifications for one measurement: some tenths of a second of CPU. */
const COUNTS = { ours: 100_000, "ours, unseen": 5_000, jose: 5_000 } as const;
type Variant = (typeof VARIANTS)[number];
type Algorithm = (typeof ALGORITHMS)[number];
type Verify = (token: string) => Promise<unknown>;

const variant = VARIANTS.find((one) => one === process.argv[2]);
const algorithm = ALGORITHMS.find((one) => one === process.argv[3]);
if (variant === undefined || algorithm === undefined) await compare();
else await measure(variant, algorithm);

/** In the child: microseconds of CPU for one verification, after a warm-up. */
async function measure(name: Variant, alg: Algorithm): Promise<void> {
  const { tokens, fetch } = await createTokens(alg);
  const create = { ours, "ours, unseen": ours, jose }[name];
  let verify = create(alg, fetch);
  const run = async (count: number) => {
    const before = process.cpuUsage();
    for (let i = 0; i < count; i++) {
      // A fresh verifier has seen no token.
      if (name === "ours, unseen" && i % TOKENS === 0) verify = create(alg, fetch);
      await verify(tokens[i % TOKENS] ?? "");
    }
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  };
  await run(Math.max(2_000, COUNTS[name] / 4));
  process.send?.(await run(COUNTS[name]));
}

async function createTokens(alg: Algorithm) {
  const { publicKey, privateKey } =
    alg === "RS256"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "one", alg, use: "sig" };
  const sign = (i: number) =>
    new SignJWT({
      scope: "openid Notifications.Read",
      name: "Some User",
      tid: "t".repeat(36),
      azp: "a".repeat(36),
    })
      .setProtectedHeader({ alg, kid: "one", typ: "JWT" })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(`user-${i}`)
      .setIssuedAt()
      .setNotBefore("0 s")
      .setExpirationTime("1 h")
      .sign(privateKey);
  const tokens = await Promise.all(Array.from({ length: TOKENS }, (_, i) => sign(i)));
  const fetch: typeof globalThis.fetch = (input) => {
    const isKeySet = String(input instanceof Request ? input.url : input).endsWith("/keys");
    return Promise.resolve(
      Response.json(isKeySet ? { keys: [jwk] } : { issuer: ISSUER, jwks_uri: `${ISSUER}/keys` }),
    );
  };
  return { tokens, fetch };
}

function ours(alg: Algorithm, fetch: typeof globalThis.fetch): Verify {
  const verifier = createTokenVerifier({
    issuers: [ISSUER],
    audiences: [AUDIENCE],
    algorithms: [alg],
    tokenType: "any",
    clockToleranceSeconds: 60,
    scope: "Notifications.Read",
    senderRole: "Notifications.Send",
    allowLoopback: false,
    log: createLog(() => undefined),
    fetch,
  });
  const { signal } = new AbortController();
  return async (token) => {
    const verified = await verifier.verifyDevice(token, signal);
    if (!verified.ok) throw new Error(verified.error.reason);
  };
}

function jose(alg: Algorithm, fetch: typeof globalThis.fetch): Verify {
  const keys = createRemoteJWKSet(new URL(`${ISSUER}/keys`), { [customFetch]: fetch });
  return (token) => jwtVerify(token, keys, { issuer: ISSUER, audience: AUDIENCE, algorithms: [alg] });
}

async function compare(): Promise<void> {
  for (const alg of ALGORITHMS) {
    const results = new Map<Variant, number[]>(VARIANTS.map((name) => [name, []]));
    for (let round = 0; round < ROUNDS; round++)
      for (const name of round % 2 === 0 ? VARIANTS : VARIANTS.toReversed()) {
        results.get(name)?.push(Number(await runChild(import.meta.url, [name, alg])));
      }
    for (const [name, values] of results) console.log(`${alg}, ${name}, µs of CPU: ${toSummary(values, 2)}`);
    const values = toRatios(results.get("jose") ?? [], results.get("ours") ?? []);
    reportAtLeast({ what: `a token seen before, ${alg}, jose's CPU to ours`, values, digits: 1 }, LIMIT);
  }
}
