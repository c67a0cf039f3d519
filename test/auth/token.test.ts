// Hostile tokens, minted with our own keys, against a real issuer over HTTP. The numbers are those of
// the security requirements; each row is one thing to try.
import { sign } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuthFailure, TokenVerifierOptions } from "../../shared/auth/token.ts";
import { isEntraIssuer } from "../../shared/config/entra.ts";
import type { Result } from "../../shared/base/result.ts";
import {
  AUDIENCE,
  ROLE,
  SCOPE,
  createFetchFor,
  createSignature,
  createSigningKey,
  createTestIssuer,
  createTestVerifier,
  createToken,
  toBase64url,
  type Json,
  type TestIssuer,
  type TestVerifier,
} from "../helpers/issuer.ts";

const never = new AbortController().signal;
const rsa = createSigningKey("rsa-1");
const foreign = createSigningKey("rsa-1"); // the same name, another key
const ec = createSigningKey("ec-1", { alg: "ES256" });

let issuer: TestIssuer;
let verifier: TestVerifier;

beforeAll(async () => {
  issuer = await createTestIssuer();
  issuer.publish(rsa.jwk, ec.jwk);
  verifier = createTestVerifier([issuer.issuer], { algorithms: ["RS256", "ES256"] });
});
afterAll(() => issuer.close());

function reasonOf(result: Result<unknown, AuthFailure>): string {
  return result.ok ? "ok" : result.error.reason;
}

async function deviceReason(token: string, by: TestVerifier = verifier): Promise<string> {
  return reasonOf(await by.verifyDevice(token, never));
}

function mint(claims: Json = {}, header: Json = {}): string {
  return createToken({ key: rsa, header, claims: verifier.deviceClaims(claims) });
}

const now = () => verifier.now().getTime() / 1000;

test("a good token names its user", async () => {
  expect(await verifier.verifyDevice(mint(), never)).toEqual({ ok: true, value: { userId: "alice" } });
});

test("a good token signed with ES256 names its user", async () => {
  const token = createToken({ key: ec, claims: verifier.deviceClaims() });
  expect(await verifier.verifyDevice(token, never)).toEqual({ ok: true, value: { userId: "alice" } });
});

describe("R4: another spelling of a good token is refused", () => {
  test.each<[string, (token: string) => string]>([
    ["a space before the signature", (t) => t.replace(/\.(?=[^.]*$)/, ". ")],
    ["= appended", (t) => `${t}=`],
    // 256 bytes are 342 characters, the last of which has four unused bits.
    ["the unused bits of the signature changed", (t) => t.slice(0, -1) + nextCharacter(t.slice(-1))],
  ])("%s", async (_what, respell) => {
    const token = mint();
    expect(await deviceReason(token)).toBe("ok");
    expect(await deviceReason(respell(token))).toBe("token_rejected");
  });
});

function nextCharacter(character: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return alphabet.charAt(alphabet.indexOf(character) + 1);
}

test("R6: a token of 200 KB is refused though it is signed well", async () => {
  expect(await deviceReason(mint({ filler: "x".repeat(200_000) }))).toBe("token_rejected");
});

describe("R7: an algorithm that is not on the list is refused", () => {
  const pem = rsa.publicKey.export({ type: "spki", format: "pem" }).toString();
  test.each<[string, () => string]>([
    ["none without a signature", () => unsigned("none")],
    ["NoNe without a signature", () => unsigned("NoNe")],
    ["none with a signature", () => mint({}, { alg: "none" })],
    ["RS256 without a signature", () => unsigned("RS256")],
    ["HS256 keyed with the public key as PEM", () => symmetric(pem)],
    ["HS256 keyed with the public key as JWK", () => symmetric(JSON.stringify(rsa.jwk))],
    ["HS256 keyed with nothing", () => symmetric("")],
    [
      "RS512 by the right key",
      () => createToken({ key: rsa, alg: "RS512", claims: verifier.deviceClaims() }),
    ],
    [
      "PS256 by the right key",
      () => createToken({ key: rsa, alg: "PS256", claims: verifier.deviceClaims() }),
    ],
    ["RS256 that says PS256", () => mint({}, { alg: "PS256" })],
    [
      "PS256 that says RS256",
      () =>
        createToken({ key: rsa, alg: "PS256", header: { alg: "RS256" }, claims: verifier.deviceClaims() }),
    ],
    ["rs256", () => mint({}, { alg: "rs256" })],
    ["a list", () => mint({}, { alg: ["RS256"] })],
    ["no algorithm", () => mint({}, { alg: undefined })],
  ])("%s", async (_what, token) => {
    expect(await deviceReason(token())).toBe("token_rejected");
  });

  test.each(["HS256", "none"])("%s stays refused when it is configured", async (alg) => {
    const lax = createTestVerifier([issuer.issuer], { algorithms: ["RS256", alg] });
    expect(await deviceReason(alg === "none" ? mint({}, { alg }) : symmetric(pem), lax)).toBe(
      "token_rejected",
    );
    expect(await deviceReason(mint(), lax)).toBe("ok");
  });
});

function unsigned(alg: string): string {
  return `${mint({}, { alg }).split(".").slice(0, 2).join(".")}.`;
}

function symmetric(secret: string): string {
  return createToken({ key: rsa, alg: "HS256", signWith: secret, claims: verifier.deviceClaims() });
}

describe("R8: a key that the token brings along is never used", () => {
  test.each<[string, (address: string) => Json]>([
    ["jwk", () => ({ jwk: foreign.jwk })],
    ["jku", (address) => ({ jku: `${address}/keys` })],
    ["x5u", (address) => ({ x5u: `${address}/keys` })],
    ["x5c", () => ({ x5c: [foreign.publicKey.export({ type: "spki", format: "der" }).toString("base64")] })],
  ])("%s", async (_name, header) => {
    await using listener = await createTestIssuer();
    listener.publish(foreign.jwk);
    for (const kid of [rsa.kid, "another"]) {
      const token = createToken({
        key: foreign,
        header: { ...header(listener.origin), kid },
        claims: verifier.deviceClaims(),
      });
      expect(await deviceReason(token)).toBe("token_rejected");
    }
    expect(listener.requests).toEqual({ discovery: 0, keySet: 0, elsewhere: 0 });
  });
});

describe("R9: kid is a string that equals exactly one key's", () => {
  test.each<[string, unknown]>([
    ["missing", undefined],
    ["a number", 1],
    ["null", null],
    ["a list", ["rsa-1"]],
    ["empty", ""],
    ["a path", "../../dev/null"],
    ["SQL", "' OR 1=1"],
    ["a prototype's member", "__proto__"],
    ["another prototype's member", "constructor"],
    ["longer by a space", "rsa-1 "],
    ["upper case", "RSA-1"],
    ["that of a key of another type", "ec-1"],
  ])("%s", async (_what, kid) => {
    expect(await deviceReason(mint({}, { kid }))).toBe("token_rejected");
  });
});

/** Of P-256's group, n. */
const order = Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "hex");

function signWell() {
  const input = createToken({ key: ec, claims: verifier.deviceClaims() }).split(".").slice(0, 2).join(".");
  return { input, signature: createSignature(input, "ES256", ec.privateKey) };
}

describe("R10: a degenerate signature is refused", () => {
  test.each<[string, (signature: Buffer) => Buffer]>([
    ["r = s = 0", () => Buffer.alloc(64)],
    ["r = 0", (s) => Buffer.concat([Buffer.alloc(32), s.subarray(32)])],
    ["s = 0", (s) => Buffer.concat([s.subarray(0, 32), Buffer.alloc(32)])],
    ["r = n", (s) => Buffer.concat([order, s.subarray(32)])],
    ["s = n", (s) => Buffer.concat([s.subarray(0, 32), order])],
    ["r beyond n", (s) => Buffer.concat([Buffer.alloc(32, 0xff), s.subarray(32)])],
    ["a byte short", (s) => s.subarray(0, 63)],
    ["a byte long", (s) => Buffer.concat([s, Buffer.alloc(1)])],
    ["halves exchanged", (s) => Buffer.concat([s.subarray(32), s.subarray(0, 32)])],
  ])("%s", async (_what, change) => {
    const { input, signature } = signWell();
    expect(await deviceReason(`${input}.${signature.toString("base64url")}`)).toBe("ok");
    expect(await deviceReason(`${input}.${change(signature).toString("base64url")}`)).toBe("token_rejected");
  });

  test("the DER form of an ES256 signature is refused, as is an RS256 signature a byte short", async () => {
    const [head = "", body = "", signature = ""] = mint().split(".");
    const short = Buffer.from(signature, "base64url").subarray(1).toString("base64url");
    expect(await deviceReason(`${head}.${body}.${short}`)).toBe("token_rejected");
    const { input } = signWell();
    const der = sign("sha256", Buffer.from(input), ec.privateKey).toString("base64url");
    expect(await deviceReason(`${input}.${der}`)).toBe("token_rejected");
  });
});

describe("R11, R12: a header that asks for more than a signed token is refused", () => {
  test.each<Json>([
    { crit: ["x"], x: 1 },
    { crit: ["x"] },
    { crit: [] },
    { crit: "x" },
    { crit: null },
    { crit: ["exp"], exp: 1 },
    { crit: ["b64"], b64: false },
    { crit: ["b64"], b64: true },
    { b64: false },
    { cty: "JWT" },
    { zip: "DEF" },
    { enc: "A256GCM" },
  ])("%j", async (header) => {
    expect(await deviceReason(mint({}, header))).toBe("token_rejected");
  });
});

const claimsText = () => JSON.stringify(verifier.deviceClaims());
const headerText = (more = "") => `{"alg":"RS256","kid":"rsa-1"${more}}`;

function latin1(text: string): string {
  const input = `${toBase64url(headerText())}.${Buffer.from(text, "latin1").toString("base64url")}`;
  return `${input}.${createSignature(input, "RS256", rsa.privateKey).toString("base64url")}`;
}

describe("R12: what is no compact signed token of JSON objects is refused", () => {
  test.each<[string, () => string]>([
    ["five parts", () => `${mint()}.AAAA.AAAA`],
    ["JSON serialization", () => `{"payload":"${mint().split(".")[1] ?? ""}"}`],
    ["a nested token", () => createToken({ key: rsa, header: headerText(',"cty":"JWT"'), claims: mint() })],
    ["a token as claims", () => createToken({ key: rsa, claims: mint() })],
    ["claims that are a list", () => createToken({ key: rsa, claims: `[${claimsText()}]` })],
    ["claims that are null", () => createToken({ key: rsa, claims: "null" })],
    ["claims that are no JSON", () => createToken({ key: rsa, claims: `${claimsText()}x` })],
    ["claims with a byte order mark", () => createToken({ key: rsa, claims: `\ufeff${claimsText()}` })],
    ["a header that is a list", () => createToken({ key: rsa, header: "[]", claims: claimsText() })],
    ["a header that is no JSON", () => createToken({ key: rsa, header: "{", claims: claimsText() })],
    [
      "alg that stands twice",
      () => createToken({ key: rsa, header: headerText(',"alg":"RS256"'), claims: claimsText() }),
    ],
    [
      "sub that stands twice",
      () => createToken({ key: rsa, claims: claimsText().replace("{", '{"sub":"bob",') }),
    ],
    [
      "sub twice, once escaped",
      () => createToken({ key: rsa, claims: claimsText().replace("{", '{"s\\u0075b":"bob",') }),
    ],
    [
      "a prototype's member",
      () => createToken({ key: rsa, claims: claimsText().replace("{", '{"__proto__":{},') }),
    ],
    ["claims in Latin-1", () => latin1(claimsText().replace("alice", "\u00e5lice"))],
    ["the empty text", () => ""],
  ])("%s", async (_what, token) => {
    expect(await deviceReason(token())).toBe("token_rejected");
  });

  test("the same header and claims without those faults are taken", async () => {
    expect(await deviceReason(createToken({ key: rsa, header: headerText(), claims: claimsText() }))).toBe(
      "ok",
    );
  });
});

describe("R13: typ", () => {
  const any: [unknown, string][] = [
    [undefined, "ok"],
    ["JWT", "ok"],
    ["jwt", "ok"],
    ["at+jwt", "ok"],
    ["AT+JWT", "ok"],
    ["application/at+jwt", "ok"],
    ["dpop+jwt", "token_rejected"],
    ["logout+jwt", "token_rejected"],
    ["secevent+jwt", "token_rejected"],
    ["", "token_rejected"],
    [1, "token_rejected"],
    [null, "token_rejected"],
    [["JWT"], "token_rejected"],
  ];
  test.each(any)("%j is %s", async (typ, reason) => {
    expect(await deviceReason(mint({}, { typ }))).toBe(reason);
  });

  const strict: [unknown, string][] = [
    ["at+jwt", "ok"],
    ["application/AT+jwt", "ok"],
    ["JWT", "token_rejected"],
    [undefined, "token_rejected"],
  ];
  test.each(strict)("%j is %s where at+jwt is demanded", async (typ, reason) => {
    const demanding = createTestVerifier([issuer.issuer], { tokenType: "at+jwt" });
    expect(await deviceReason(mint({}, { typ }), demanding)).toBe(reason);
  });
});

describe("R14: iss equals a configured issuer, character for character", () => {
  test.each<[string, () => unknown]>([
    ["a slash added", () => `${issuer.issuer}/`],
    ["upper case", () => issuer.issuer.toUpperCase()],
    ["a list", () => [issuer.issuer]],
    ["missing", () => undefined],
    ["null", () => null],
    ["another's", () => "https://issuer.example"],
    ["the same place by another name", () => issuer.issuer.replace("127.0.0.1", "localhost")],
    ["a placeholder", () => `${issuer.issuer}/{tenantid}`],
    ["a prototype's member", () => "constructor"],
  ])("%s", async (_what, iss) => {
    expect(await deviceReason(mint({ iss: iss() }))).toBe("token_rejected");
  });

  test("a slash left out is refused where one is configured", async () => {
    const slashed = createTestVerifier([`${issuer.issuer}/`]);
    expect(await deviceReason(mint(), slashed)).toBe("token_rejected");
  });

  test("a token of nobody's causes no request at all", async () => {
    await using idle = await createTestIssuer();
    const fresh = createTestVerifier([idle.issuer]);
    expect(await deviceReason(mint(), fresh)).toBe("token_rejected");
    expect(await deviceReason(mint({ iss: idle.issuer }, { alg: "HS256" }), fresh)).toBe("token_rejected");
    expect(await deviceReason(mint({ iss: idle.issuer }, { kid: undefined }), fresh)).toBe("token_rejected");
    expect(idle.requests).toEqual({ discovery: 0, keySet: 0, elsewhere: 0 });
  });

  test("a key of one issuer does not sign for another, though both are configured", async () => {
    await using other = await createTestIssuer();
    other.publish(createSigningKey("rsa-1").jwk);
    const both = createTestVerifier([issuer.issuer, other.issuer]);
    expect(await deviceReason(mint(), both)).toBe("ok");
    expect(await deviceReason(mint({ iss: other.issuer }), both)).toBe("token_rejected");
  });
});

const TENANT = "11111111-1111-4111-8111-111111111111";
const OTHER_TENANT = "22222222-2222-4222-8222-222222222222";
const USER = "33333333-3333-4333-8333-333333333333";
const V2 = `https://login.microsoftonline.com/${TENANT}/v2.0`;
const V1 = `https://sts.windows.net/${TENANT}/`;

async function createEntra(
  name: string,
  changes: Partial<TokenVerifierOptions> = {},
  keys: readonly Json[] = [rsa.jwk],
) {
  const entra = await createTestIssuer({ issuer: name });
  entra.publish(...keys);
  const by = createTestVerifier([name], { fetch: createFetchFor(entra), allowLoopback: false, ...changes });
  const ver = name === V1 ? "1.0" : "2.0";
  const common = { tid: TENANT, oid: USER, ver, scope: undefined, azp: undefined };
  return {
    by,
    device: (claims: Json = {}) =>
      createToken({ key: rsa, claims: by.deviceClaims({ ...common, scp: `User.Read ${SCOPE}`, ...claims }) }),
    sender: (claims: Json = {}) =>
      createToken({
        key: rsa,
        claims: by.senderClaims({ ...common, [ver === "1.0" ? "appid" : "azp"]: "backend", ...claims }),
      }),
    [Symbol.asyncDispose]: entra.close,
  };
}

describe("R16: at Entra ID the tenant and the version belong to the issuer", () => {
  test.each<[string, Json, string]>([
    [V2, {}, "ok"],
    [V2, { tid: OTHER_TENANT }, "token_rejected"],
    [V2, { tid: undefined }, "token_rejected"],
    [V2, { tid: [TENANT] }, "token_rejected"],
    [V2, { tid: "" }, "token_rejected"],
    [V2, { ver: "1.0" }, "token_rejected"],
    [V2, { ver: undefined }, "token_rejected"],
    [V2, { ver: 2 }, "token_rejected"],
    [V2, { iss: V1 }, "token_rejected"],
    [V2, { iss: V2.replace(TENANT, OTHER_TENANT) }, "token_rejected"],
    [V2, { iss: V2.replace(TENANT, OTHER_TENANT), tid: OTHER_TENANT }, "token_rejected"],
    [V2, { iss: V2.replace(TENANT, "{tenantid}") }, "token_rejected"],
    [V1, {}, "ok"],
    [V1, { tid: OTHER_TENANT }, "token_rejected"],
    [V1, { ver: "2.0" }, "token_rejected"],
    [V1, { iss: V1.slice(0, -1) }, "token_rejected"],
  ])("%s with %j is %s", async (name, claims, reason) => {
    await using entra = await createEntra(name);
    expect(await deviceReason(entra.device(claims), entra.by)).toBe(reason);
  });

  test("the user of an Entra token is its oid in lower case", async () => {
    await using entra = await createEntra(V2);
    const token = entra.device({ oid: "ABCDEF00-3333-4333-8333-333333333333", sub: "pairwise" });
    expect(await entra.by.verifyDevice(token, never)).toEqual({
      ok: true,
      value: { userId: "abcdef00-3333-4333-8333-333333333333" },
    });
  });
});

describe("R16: a key of Entra ID signs for the tenant that its issuer member names", () => {
  const shared = "https://login.microsoftonline.com/{tenantid}/v2.0";
  test.each<[string, unknown, string]>([
    ["absent", undefined, "ok"],
    ["the tenant's, version 2.0", V2, "ok"],
    ["the tenant's, version 1.0", V1, "ok"],
    ["the tenant's in upper case", V2.replace(TENANT, TENANT.toUpperCase()), "ok"],
    ["the placeholder, version 2.0", shared, "ok"],
    ["the placeholder, version 1.0", "https://sts.windows.net/{tenantid}/", "ok"],
    ["another tenant's, version 2.0", V2.replace(TENANT, OTHER_TENANT), "token_rejected"],
    ["another tenant's, version 1.0", V1.replace(TENANT, OTHER_TENANT), "token_rejected"],
    [
      "that of personal accounts",
      V2.replace(TENANT, "9188040d-6c67-4c5b-b112-36a304b66dad"),
      "token_rejected",
    ],
    ["common", V2.replace(TENANT, "common"), "token_rejected"],
    ["another placeholder", V2.replace(TENANT, "{tenant}"), "token_rejected"],
    ["of a host that is not Entra ID's", `https://issuer.example/${TENANT}/v2.0`, "token_rejected"],
    ["the placeholder of such a host", "https://issuer.example/{tenantid}/v2.0", "token_rejected"],
    ["the tenant alone", TENANT, "token_rejected"],
    ["empty", "", "token_rejected"],
    ["null", null, "token_rejected"],
    ["a list", [V2], "token_rejected"],
  ])("%s (%j): %s", async (_what, member, reason) => {
    for (const name of [V2, V1]) {
      await using entra = await createEntra(name, {}, [{ ...rsa.jwk, issuer: member }]);
      expect(await deviceReason(entra.device(), entra.by)).toBe(reason);
    }
  });

  test("another tenant's key does not take the kid of the tenant's own", async () => {
    const others = { ...foreign.jwk, issuer: V2.replace(TENANT, OTHER_TENANT) };
    await using entra = await createEntra(V2, {}, [others, { ...rsa.jwk, issuer: shared }]);
    expect(await deviceReason(entra.device(), entra.by)).toBe("ok");
  });

  test("for other issuers the member means nothing", async () => {
    await using other = await createTestIssuer();
    other.publish({ ...rsa.jwk, issuer: V2 });
    expect(await deviceReason(mint({ iss: other.issuer }), createTestVerifier([other.issuer]))).toBe("ok");
  });
});

test.each<[string, boolean]>([
  [V2, true],
  [V1, true],
  ["https://login.microsoftonline.us/t/v2.0", true],
  ["https://login.partner.microsoftonline.cn/t/v2.0", true],
  [`https://contoso.ciamlogin.com/${TENANT}/v2.0`, true],
  ["https://ciamlogin.com.evil.example/t", false],
  ["https://evilciamlogin.com/t", false],
  ["https://issuer.example/login.microsoftonline.com/t/v2.0", false],
  ["https://login.microsoftonline.com.evil.example/t/v2.0", false],
  ["http://login.microsoftonline.com/t/v2.0", false],
  ["https://login.microsoftonline.com@evil.example/t/v2.0", false],
  ["login.microsoftonline.com", false],
])("R16: that %s is an issuer of Entra ID is %s", (name, answer) => {
  expect(isEntraIssuer(name)).toBe(answer);
});

describe("R17: aud holds a configured audience exactly", () => {
  test.each<[unknown, string]>([
    [AUDIENCE, "ok"],
    [["other", AUDIENCE], "ok"],
    [["other"], "token_rejected"],
    [[], "token_rejected"],
    ["api://secure", "token_rejected"],
    [`${AUDIENCE}-2`, "token_rejected"],
    [AUDIENCE.toUpperCase(), "token_rejected"],
    [`${AUDIENCE}/`, "token_rejected"],
    [`${AUDIENCE} other`, "token_rejected"],
    [{ [AUDIENCE]: true }, "token_rejected"],
    [[[AUDIENCE]], "token_rejected"],
    [[AUDIENCE, [AUDIENCE]], "token_rejected"],
    [[AUDIENCE, 5], "token_rejected"],
    [5, "token_rejected"],
    [null, "token_rejected"],
    [undefined, "token_rejected"],
    ["", "token_rejected"],
  ])("%j is %s", async (aud, reason) => {
    expect(await deviceReason(mint({ aud }))).toBe(reason);
  });

  test.each(["api://secure-push", USER])("%s is taken where both forms are configured", async (aud) => {
    const both = createTestVerifier([issuer.issuer], { audiences: ["api://secure-push", USER] });
    expect(await deviceReason(mint({ aud }), both)).toBe("ok");
  });
});

function endless(): string {
  const text = JSON.stringify(verifier.deviceClaims({ exp: 0 })).replace('"exp":0', '"exp":1e400');
  return createToken({ key: rsa, claims: text });
}

describe("R18, R19, R21: exp is required, is a finite number, lies ahead and not too far", () => {
  test.each<[string, () => string, string]>([
    ["missing", () => mint({ exp: undefined }), "token_rejected"],
    ["a string", () => mint({ exp: String(now() + 60) }), "token_rejected"],
    ["null", () => mint({ exp: null }), "token_rejected"],
    ["true", () => mint({ exp: true }), "token_rejected"],
    ["a list", () => mint({ exp: [now() + 60] }), "token_rejected"],
    ["1e400", () => endless(), "token_rejected"],
    ["-1", () => mint({ exp: -1 }), "token_rejected"],
    ["ten minutes ago", () => mint({ exp: now() - 600 }), "token_rejected"],
    ["9e15", () => mint({ exp: 9e15 }), "token_rejected"],
    ["49 hours ahead", () => mint({ exp: now() + 49 * 3600 }), "token_rejected"],
    ["48 hours ahead", () => mint({ exp: now() + 48 * 3600 }), "ok"],
    ["59 s ago, within the tolerance", () => mint({ exp: now() - 59 }), "ok"],
    ["60 s ago, at the tolerance's end", () => mint({ exp: now() - 60 }), "token_rejected"],
    ["a fraction", () => mint({ exp: now() + 0.5 }), "ok"],
  ])("%s", async (_what, token, reason) => {
    expect(await deviceReason(token())).toBe(reason);
  });
});

describe("R20: nbf and iat are numbers and not in the future", () => {
  test.each<[Json, string]>([
    [{ nbf: 600 }, "token_rejected"],
    [{ nbf: 61 }, "token_rejected"],
    [{ nbf: 60 }, "ok"],
    [{ iat: 86_400 }, "token_rejected"],
    [{ iat: 61 }, "token_rejected"],
    [{ iat: 60 }, "ok"],
  ])("%j seconds from now is %s", async (ahead, reason) => {
    const claims = Object.fromEntries(Object.entries(ahead).map(([name, s]) => [name, now() + Number(s)]));
    expect(await deviceReason(mint(claims))).toBe(reason);
  });

  test.each<[Json, string]>([
    [{ nbf: "1" }, "token_rejected"],
    [{ nbf: null }, "token_rejected"],
    [{ iat: "1" }, "token_rejected"],
    [{ iat: [1] }, "token_rejected"],
    [{ nbf: undefined, iat: undefined }, "ok"],
  ])("%j is %s", async (claims, reason) => {
    expect(await deviceReason(mint(claims))).toBe(reason);
  });
});

test.each(["nbf", "iat"])("R20: %s is finite: -1e400 is refused", async (name) => {
  const text = JSON.stringify(verifier.deviceClaims({ [name]: 0 }));
  const token = createToken({ key: rsa, claims: text.replace(`"${name}":0`, `"${name}":-1e400`) });
  expect(await deviceReason(token)).toBe("token_rejected");
});

test.each([0, 60, 300, 100_000])(
  "R21: 301 s after exp a token is refused at a tolerance of %d s",
  async (seconds) => {
    const lax = createTestVerifier([issuer.issuer], { clockToleranceSeconds: seconds });
    expect(await deviceReason(mint({ exp: now() - 301 }), lax)).toBe("token_rejected");
    expect(await deviceReason(mint({ nbf: now() + 301 }), lax)).toBe("token_rejected");
    expect(await deviceReason(mint({ iat: now() + 301 }), lax)).toBe("token_rejected");
  },
);

describe("R22: the user is a non-empty string out of the configured claim", () => {
  test.each<[string, unknown]>([
    ["missing", undefined],
    ["empty", ""],
    ["a number", 5],
    ["null", null],
    ["an object", { id: "alice" }],
    ["a list", ["alice"]],
    ["10 KB long", "a".repeat(10_240)],
    ["257 characters long", "a".repeat(257)],
    ["with a space", "al ice"],
    ["with a line feed", "alice\n"],
    ["outside ASCII", "ålice"],
  ])("a subject that is %s is refused", async (_what, sub) => {
    expect(await deviceReason(mint({ sub }))).toBe("token_rejected");
  });

  test("what else a token calls its user does not matter", async () => {
    const token = mint({
      sub: "bob",
      preferred_username: "alice",
      upn: "alice",
      email: "alice",
      oid: "alice",
    });
    expect(await verifier.verifyDevice(token, never)).toEqual({ ok: true, value: { userId: "bob" } });
  });

  test("another claim can be configured, and is then the only one", async () => {
    const by = createTestVerifier([issuer.issuer], { userClaim: "employee" });
    expect(await by.verifyDevice(mint({ employee: "e-7" }), never)).toEqual({
      ok: true,
      value: { userId: "e-7" },
    });
    expect(await deviceReason(mint(), by)).toBe("token_rejected");
  });

  test.each(["toString", "constructor"])("a prototype's member %s is no claim", async (userClaim) => {
    const by = createTestVerifier([issuer.issuer], { userClaim });
    expect(await deviceReason(mint(), by)).toBe("token_rejected");
  });

  test("with tid.oid one oid in two tenants is two users", async () => {
    const by = createTestVerifier([issuer.issuer], { userClaim: "tid.oid" });
    const ids = [];
    for (const tid of [TENANT, OTHER_TENANT]) {
      const result = await by.verifyDevice(mint({ tid, oid: USER.toUpperCase() }), never);
      ids.push(result.ok ? result.value.userId : "");
    }
    expect(ids).toEqual([`${TENANT}.${USER}`, `${OTHER_TENANT}.${USER}`]);
  });

  test.each<Json>([
    { tid: "a.b", oid: "c" },
    { tid: "", oid: USER },
    { oid: USER },
    { tid: TENANT },
    { tid: TENANT, oid: "" },
    { tid: TENANT, oid: 5 },
    { "tid.oid": "alice" },
  ])("with tid.oid the claims %j name nobody", async (claims) => {
    const by = createTestVerifier([issuer.issuer], { userClaim: "tid.oid" });
    expect(await deviceReason(mint(claims), by)).toBe("token_rejected");
  });
});

test("R23: bad tokens fail for one reason, and its detail holds nothing of them", async () => {
  const tokens = [
    mint({ aud: "marker-audience" }),
    mint({ iss: "marker-issuer" }),
    createToken({ key: foreign, claims: verifier.deviceClaims({ sub: "marker-subject" }) }),
    mint({ exp: 1 }),
    mint({ sub: "marker marker" }),
    mint({}, { kid: "marker-kid" }),
    "marker",
  ];
  const details = new Set<string>();
  for (const token of tokens) {
    const result = await verifier.verifyDevice(token, never);
    if (result.ok || result.error.reason !== "token_rejected")
      throw new Error("a bad token was not rejected");
    details.add(result.error.detail);
    expect(result.error.detail).toMatch(/^[a-z_]+$/);
  }
  expect([...details, ...verifier.lines].join("\n")).not.toContain("marker");
  expect(details.size).toBe(tokens.length);
});

describe("R34: a device's token holds the scope in a string, exactly", () => {
  test.each<[unknown, string]>([
    [SCOPE, "ok"],
    [`openid ${SCOPE} profile`, "ok"],
    [undefined, "scope_missing"],
    ["", "scope_missing"],
    ["Notifications.ReadAll", "scope_missing"],
    ["XNotifications.Read", "scope_missing"],
    [SCOPE.toLowerCase(), "scope_missing"],
    [[SCOPE], "scope_missing"],
    [`openid,${SCOPE}`, "scope_missing"],
    [`openid\t${SCOPE}`, "scope_missing"],
    [null, "scope_missing"],
    [5, "scope_missing"],
    [{ [SCOPE]: true }, "scope_missing"],
  ])("%j is %s", async (scope, reason) => {
    if (!Array.isArray(scope)) expect(await deviceReason(mint({ scope }))).toBe(reason);
    await using entra = await createEntra(V2);
    expect(await deviceReason(entra.device({ scp: scope }), entra.by)).toBe(reason);
  });

  test.each<[readonly unknown[], string]>([
    [[SCOPE], "ok"],
    [["openid", SCOPE, "profile"], "ok"],
    [[], "scope_missing"],
    [["openid"], "scope_missing"],
    [[`openid ${SCOPE}`], "scope_missing"],
    [[SCOPE.toLowerCase()], "scope_missing"],
    [[[SCOPE]], "scope_missing"],
    [[SCOPE, 5], "scope_missing"],
    [[SCOPE, null], "scope_missing"],
  ])("at an issuer that is not Entra ID the list %j is %s", async (scope, reason) => {
    expect(await deviceReason(mint({ scope }))).toBe(reason);
    const by = createTestVerifier([issuer.issuer], { scopeClaim: "permissions" });
    expect(await deviceReason(mint({ scope: undefined, permissions: scope }), by)).toBe(reason);
  });

  test("the claim of another kind of issuer does not count, unless it is configured", async () => {
    expect(await deviceReason(mint({ scope: undefined, scp: SCOPE }))).toBe("scope_missing");
    await using entra = await createEntra(V2);
    expect(await deviceReason(entra.device({ scp: undefined, scope: SCOPE }), entra.by)).toBe(
      "scope_missing",
    );
    const by = createTestVerifier([issuer.issuer], { scopeClaim: "permissions" });
    expect(await deviceReason(mint({ scope: undefined, permissions: SCOPE }), by)).toBe("ok");
    expect(await deviceReason(mint(), by)).toBe("scope_missing");
  });
});

describe("R35: an app-only token opens no user route", () => {
  test.each<[Json, string]>([
    [{ idtyp: "app" }, "scope_missing"], // even with a scope
    [{ idtyp: "app", scp: undefined, roles: [ROLE] }, "scope_missing"],
    [{ scp: undefined, roles: [ROLE, SCOPE] }, "scope_missing"],
    [{ idtyp: "APP" }, "scope_missing"],
    [{ idtyp: ["app"] }, "scope_missing"],
    [{ idtyp: "user" }, "ok"],
    [{ roles: ["Something"] }, "ok"], // a user with an app role
  ])("%j is %s", async (claims, reason) => {
    await using entra = await createEntra(V2);
    expect(await deviceReason(entra.device(claims), entra.by)).toBe(reason);
  });
});

const senders: readonly [string, Json, string][] = [
  ["a good sender", {}, "ok"],
  ["R36: further roles", { roles: ["Other", ROLE] }, "ok"],
  ["R36: roles missing", { roles: undefined }, "scope_missing"],
  ["R36: no roles", { roles: [] }, "scope_missing"],
  ["R36: roles as a string", { roles: ROLE }, "scope_missing"],
  ["R36: roles as an object", { roles: { 0: ROLE, length: 1 } }, "scope_missing"],
  ["R36: nested roles", { roles: [[ROLE]] }, "scope_missing"],
  ["R36: a longer role", { roles: [`${ROLE}All`] }, "scope_missing"],
  ["R36: a shorter role", { roles: [ROLE.slice(0, -1)] }, "scope_missing"],
  ["R36: another case", { roles: [ROLE.toLowerCase()] }, "scope_missing"],
  ["R36: the role in scp only", { roles: undefined, scp: ROLE }, "scope_missing"],
  ["R36: the role in scope only", { roles: undefined, scope: ROLE }, "scope_missing"],
  ["R36: a token that says it is an app's", { idtyp: "app" }, "ok"],
  ["R36: a token that says it is a user's", { idtyp: "user" }, "scope_missing"],
  ["R37: a user's token that holds the role", { scp: SCOPE, scope: SCOPE }, "scope_missing"],
  ["R37: scp alone beside the role", { scp: SCOPE }, "scope_missing"],
  ["R37: an empty scp beside the role", { scp: "" }, "scope_missing"],
  ["R37: scp null beside the role", { scp: null }, "scope_missing"],
  ["R37: scopes in a list beside the role", { scope: [] }, "scope_missing"],
  ["R37: an ID token's nonce", { nonce: "n" }, "scope_missing"],
  ["R37: an ID token's nonce that is null", { nonce: null }, "scope_missing"],
  ["R37: the time of a sign-in", { auth_time: 1_767_225_600 }, "scope_missing"],
  ["R37: the methods of a sign-in", { amr: ["pwd"] }, "scope_missing"],
  ["R37: a session", { sid: "s" }, "scope_missing"],
  ["R37: a session by its older name", { session_state: "s" }, "scope_missing"],
  ["R37: an access token's hash", { at_hash: "AAAA" }, "scope_missing"],
  ["R37: a code's hash", { c_hash: "AAAA" }, "scope_missing"],
  ["R37: a user who delegates", { act: { sub: "backend" } }, "scope_missing"],
  ["R37: Keycloak's ID token", { typ: "ID" }, "scope_missing"],
  ["R37: Keycloak's refresh token", { typ: "Refresh" }, "scope_missing"],
  ["R36: Keycloak's access token", { typ: "Bearer" }, "ok"],
  ["R37: Cognito's ID token", { token_use: "id" }, "scope_missing"],
  ["R36: Cognito's access token", { token_use: "access" }, "ok"],
  ["R37: Auth0's token by a password", { gty: "password" }, "scope_missing"],
  ["R36: Auth0's token of a client", { gty: "client-credentials" }, "ok"],
  ["R36: what service accounts have too", { acr: "1", email_verified: false, jti: "j" }, "ok"],
];

describe.each([["an issuer of our own"], ["Entra 2.0"], ["Entra 1.0"]])("at %s", (kind) => {
  async function senderReason(claims: Json, changes: Partial<TokenVerifierOptions> = {}): Promise<string> {
    if (kind === "an issuer of our own") {
      const by = createTestVerifier([issuer.issuer], changes);
      const token = createToken({ key: rsa, claims: by.senderClaims(claims) });
      return reasonOf(await by.verifySender(token, never));
    }
    await using entra = await createEntra(kind === "Entra 1.0" ? V1 : V2, changes);
    return reasonOf(await entra.by.verifySender(entra.sender(claims), never));
  }

  test.each(senders)("%s (%j) is %s", async (_what, claims, reason) => {
    expect(await senderReason(claims)).toBe(reason);
  });

  const claim = kind === "Entra 1.0" ? "appid" : "azp";
  test.each<[string, Json, string]>([
    ["a listed client", { [claim]: "listed" }, "ok"],
    ["an unlisted client", { [claim]: "unlisted" }, "scope_missing"],
    ["a client that begins alike", { [claim]: "listed2" }, "scope_missing"],
    ["no client", { [claim]: undefined }, "token_rejected"],
    ["an empty client", { [claim]: "" }, "token_rejected"],
    ["a client that is a list", { [claim]: ["listed"] }, "token_rejected"],
    ["a listed GUID in another case", { [claim]: USER.toUpperCase() }, "ok"],
  ])("R38: %s (%j) is %s", async (_what, claims, reason) => {
    expect(await senderReason(claims, { senderClientIds: ["listed", USER] })).toBe(reason);
  });

  test("R38: the claim of the other version is not read", async () => {
    const wrong = kind === "Entra 1.0" ? { appid: undefined, azp: "a" } : { azp: undefined, appid: "a" };
    expect(await senderReason(wrong)).toBe("token_rejected");
  });
});

async function clientOf(changes: Json): Promise<string> {
  const token = createToken({ key: rsa, claims: verifier.senderClaims(changes) });
  const result = await verifier.verifySender(token, never);
  return result.ok ? result.value.clientId : result.error.reason;
}

test("R38: an issuer of our own may name the client in client_id, but azp goes first", async () => {
  expect(await clientOf({ azp: undefined, client_id: "two" })).toBe("two");
  expect(await clientOf({ azp: "one", client_id: "two" })).toBe("one");
  expect(await clientOf({ azp: 1, client_id: "two" })).toBe("token_rejected");
});

test("R36: a sender's token is verified like a device's", async () => {
  const bad = createToken({ key: foreign, claims: verifier.senderClaims() });
  expect(reasonOf(await verifier.verifySender(bad, never))).toBe("token_rejected");
  const expired = createToken({ key: rsa, claims: verifier.senderClaims({ exp: 1 }) });
  expect(reasonOf(await verifier.verifySender(expired, never))).toBe("token_rejected");
});
