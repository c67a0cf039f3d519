// A local OpenID Connect issuer: oauth2-mock-server with our audience in its access tokens. It signs in everybody who
// asks, without a password, and so serves for trying things out only.
import { OAuth2Server } from "oauth2-mock-server";
import { startOnPort } from "./port.ts";

export interface Issuer {
  /** For AUTH_ISSUER. */
  readonly url: string;
  /** For AUTH_AUDIENCE. */
  readonly audience: string;
  /** An access token of this user, as a device has it. Default lifetime: one hour. */
  readonly buildUserToken: (userId: string, lifetimeSeconds?: number) => Promise<string>;
  /** The key that signs. Pass it to the next issuer, so that tokens remain valid after a restart. */
  readonly signingKey: Readonly<Record<string, unknown>>;
  readonly close: () => Promise<void>;
}

export interface IssuerOptions {
  /** A port that is taken is replaced. Default: a free one. */
  readonly port?: number | undefined;
  /** A private JSON Web Key; default: a new one. */
  readonly signingKey?: Readonly<Record<string, unknown>>;
}

const AUDIENCE = "api://secure-push";
const SCOPE = "Notifications.Read";
const ROLE = "Notifications.Send";

/**
 * Its token endpoint gives a user's token for `grant_type=password&username=…` and a sender's token for
 * `grant_type=client_credentials&client_id=…`. Apps use the authorization code flow with PKCE (RFC 7636): `/authorize`
 * signs in the user whom `login_hint` names, without a question.
 */
export async function createIssuer({ port, signingKey }: IssuerOptions = {}): Promise<Issuer> {
  const server = new OAuth2Server();
  const key =
    signingKey === undefined
      ? await server.issuer.keys.generate("RS256", { kid: "local" })
      : await server.issuer.keys.add({ kid: "local", alg: "RS256", kty: "RSA", ...signingKey });
  const codes = new Map<string, string>(); // authorization codes, and whom each signs in
  server.service.on("beforeAuthorizeRedirect", ({ url }: { readonly url: URL }, { query }: AuthorizeCall) => {
    const code = url.searchParams.get("code");
    if (code !== null && query.code_challenge !== undefined) codes.set(code, query.login_hint ?? "alice");
  });
  server.service.on("beforeTokenSigning", ({ payload }: MutableToken, { body = {} }: TokenCall) => {
    switch (body.grant_type) {
      case "client_credentials":
        Object.assign(payload, { aud: AUDIENCE, azp: body.client_id, roles: [ROLE], scope: undefined });
        break;
      case "authorization_code": {
        const user = body.code_verifier === undefined ? undefined : codes.get(body.code ?? "");
        if (user === undefined) throw new Error("the code is unknown or used, or there is no code_verifier");
        Object.assign(payload, { sub: user });
        break;
      }
      default:
    }
    // The ID token of the same answer has no `amr`, and is not for the service.
    if (payload["amr"] !== undefined)
      Object.assign(payload, { aud: AUDIENCE, scope: toScope(payload["scope"]) });
  });
  server.service.on("beforeResponse", (_response: unknown, { body }: TokenCall) => {
    if (body?.code !== undefined) codes.delete(body.code);
  });
  const ownPort = await startOnPort(port, async (free) => {
    await server.start(free, "127.0.0.1");
    return free;
  });
  const url = `http://127.0.0.1:${ownPort}`;
  server.issuer.url = url; // the server itself would say localhost, which may be another address
  return {
    url,
    audience: AUDIENCE,
    buildUserToken: (userId, lifetimeSeconds = 3600) =>
      server.issuer.buildToken({
        expiresIn: lifetimeSeconds,
        scopesOrTransform: (_header, payload) => {
          Object.assign(payload, { sub: userId, aud: AUDIENCE, scope: SCOPE });
        },
      }),
    signingKey: { ...key },
    close: async () => {
      if (server.listening) await server.stop();
    },
  };
}

interface MutableToken {
  readonly payload: Record<string, unknown>;
}

interface AuthorizeCall {
  readonly query: { readonly login_hint?: string; readonly code_challenge?: string };
}

interface TokenCall {
  readonly body?: {
    readonly grant_type?: string;
    readonly client_id?: string;
    readonly code?: string;
    readonly code_verifier?: string;
  };
}

/** The server's own word for a scope that nobody asked for is "dummy". */
function toScope(asked: unknown): unknown {
  return asked === undefined || asked === "dummy" ? SCOPE : asked;
}
