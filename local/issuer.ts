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
 * `grant_type=client_credentials&client_id=…`.
 */
export async function createIssuer({ port, signingKey }: IssuerOptions = {}): Promise<Issuer> {
  const server = new OAuth2Server();
  const key =
    signingKey === undefined
      ? await server.issuer.keys.generate("RS256", { kid: "local" })
      : await server.issuer.keys.add({ kid: "local", alg: "RS256", kty: "RSA", ...signingKey });
  server.service.on(
    "beforeTokenSigning",
    (token: MutableToken, request: { readonly body?: TokenRequest }) => {
      const { payload } = token;
      if (request.body?.grant_type === "client_credentials")
        Object.assign(payload, {
          aud: AUDIENCE,
          azp: request.body.client_id,
          roles: [ROLE],
          scope: undefined,
        });
      // The ID token of the same answer has no `amr`, and is not for us.
      else if (payload["amr"] !== undefined)
        Object.assign(payload, { aud: AUDIENCE, scope: payload["scope"] ?? SCOPE });
    },
  );
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

interface TokenRequest {
  readonly grant_type?: string;
  readonly client_id?: string;
}
