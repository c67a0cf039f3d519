// The local issuer's authorization code flow with PKCE, as the page and apps use it.
import { createHash, randomBytes } from "node:crypto";
import { decodeJwt } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createIssuer, type Issuer } from "../../local/issuer.ts";

let issuer: Issuer;
beforeAll(async () => {
  issuer = await createIssuer();
});
afterAll(() => issuer.close());

const REDIRECT = "http://localhost:7070/";

async function authorize(loginHint: string, challenge?: string): Promise<string> {
  const query = new URLSearchParams({
    response_type: "code",
    client_id: "app",
    redirect_uri: REDIRECT,
    scope: "openid Notifications.Read",
    state: "s",
    login_hint: loginHint,
    ...(challenge === undefined ? {} : { code_challenge: challenge, code_challenge_method: "S256" }),
  });
  const response = await fetch(`${issuer.url}/authorize?${query.toString()}`, { redirect: "manual" });
  const target = new URL(response.headers.get("location") ?? "");
  expect(target.searchParams.get("state")).toBe("s");
  return target.searchParams.get("code") ?? "";
}

function redeem(code: string, verifier?: string): Promise<Response> {
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    client_id: "app",
    redirect_uri: REDIRECT,
    code,
    ...(verifier === undefined ? {} : { code_verifier: verifier }),
  });
  return fetch(`${issuer.url}/token`, { method: "POST", body });
}

function createPkce() {
  const verifier = randomBytes(32).toString("base64url");
  return { verifier, challenge: createHash("sha256").update(verifier).digest("base64url") };
}

test("a code signs in the user whom login_hint names, with our audience and scope", async () => {
  const { verifier, challenge } = createPkce();
  const response = await redeem(await authorize("ada", challenge), verifier);
  expect(response.status).toBe(200);
  const tokens = (await response.json()) as { readonly access_token: string; readonly id_token: string };
  expect(decodeJwt(tokens.access_token)).toMatchObject({
    iss: issuer.url,
    sub: "ada",
    aud: issuer.audience,
    scope: "Notifications.Read",
  });
  expect(decodeJwt(tokens.id_token)).toMatchObject({ sub: "ada", aud: "app" });
});

test.each([
  { name: "with another verifier", hasChallenge: true, verifier: "x".repeat(43) },
  { name: "without a verifier", hasChallenge: true, verifier: undefined },
  { name: "that was asked for without a challenge", hasChallenge: false, verifier: "x".repeat(43) },
])("a code $name gives no token (RFC 7636 §4.6)", async ({ hasChallenge, verifier }) => {
  const code = await authorize("ada", hasChallenge ? createPkce().challenge : undefined);
  expect((await redeem(code, verifier)).ok).toBe(false);
});

test("a code gives tokens once (RFC 6749 §4.1.2)", async () => {
  const { verifier, challenge } = createPkce();
  const code = await authorize("ada", challenge);
  expect((await redeem(code, verifier)).ok).toBe(true);
  expect((await redeem(code, verifier)).ok).toBe(false);
});
