// The verifier against an issuer that somebody else wrote: oauth2-mock-server, its discovery, keys and tokens.
import { OAuth2Server } from "oauth2-mock-server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTokenVerifier, type TokenVerifier } from "../../shared/auth/token.ts";
import { createLog } from "../../shared/base/log.ts";
import * as z from "zod";

const never = new AbortController().signal;
const server = new OAuth2Server();
let verifier: TokenVerifier;
let origin: string;

beforeAll(async () => {
  await server.issuer.keys.generate("RS256", { kid: "one" });
  await server.issuer.keys.generate("ES256", { kid: "two" });
  await server.start(0, "127.0.0.1");
  origin = server.issuer.url ?? "";
  verifier = createTokenVerifier({
    issuers: [origin],
    audiences: ["api://secure-push"],
    algorithms: ["RS256", "ES256"],
    tokenType: "any",
    clockToleranceSeconds: 60,
    scope: "Notifications.Read",
    senderRole: "Notifications.Send",
    allowLoopback: true,
    log: createLog(() => undefined),
  });
});
afterAll(() => server.stop());

function build(kid: string, claims: Readonly<Record<string, unknown>>, expiresIn = 3600): Promise<string> {
  return server.issuer.buildToken({
    kid,
    expiresIn,
    scopesOrTransform: (_header, payload) => {
      Object.assign(payload, { aud: "api://secure-push" }, claims);
    },
  });
}

test.each(["one", "two"])("its token by key %s names the user", async (kid) => {
  const token = await build(kid, { sub: "alice", scope: "openid Notifications.Read" });
  expect(await verifier.verifyDevice(token, never)).toEqual({ ok: true, value: { userId: "alice" } });
});

test("its token of the client credentials grant, given a role, names the sender", async () => {
  server.service.once("beforeTokenSigning", (token: { payload: Record<string, unknown> }) => {
    Object.assign(token.payload, { aud: "api://secure-push", azp: "backend", roles: ["Notifications.Send"] });
    delete token.payload["scope"];
  });
  const response = await fetch(`${origin}/token`, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "client_credentials", client_id: "backend" }),
  });
  const { access_token: token } = z.object({ access_token: z.string() }).parse(await response.json());
  expect(await verifier.verifySender(token, never)).toEqual({ ok: true, value: { clientId: "backend" } });
  expect(await verifier.verifyDevice(token, never)).toEqual({
    ok: false,
    error: { reason: "scope_missing" },
  });
});

test.each<[string, Readonly<Record<string, unknown>>, number]>([
  ["for another audience", { aud: "other", sub: "alice", scope: "Notifications.Read" }, 3600],
  ["that expired", { sub: "alice", scope: "Notifications.Read" }, -600],
  ["of another issuer", { iss: "https://issuer.example", sub: "alice", scope: "Notifications.Read" }, 3600],
])("its token %s is refused", async (_what, claims, expiresIn) => {
  const result = await verifier.verifyDevice(await build("one", claims, expiresIn), never);
  expect(result).toMatchObject({ ok: false, error: { reason: "token_rejected" } });
});
