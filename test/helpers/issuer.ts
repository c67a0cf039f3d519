// An issuer of tokens: a real HTTP server on a free port that can be told to fail in the ways issuers fail, keys made
// at run time, and tokens in which everything can be wrong (nothing here checks what it signs).
import { once } from "node:events";
import {
  constants,
  createHmac,
  generateKeyPairSync,
  sign,
  type JsonWebKey,
  type KeyObject,
} from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { toPort } from "../../local/server.ts";
import { createLog } from "../../shared/base/log.ts";
import {
  createTokenVerifier,
  type TokenVerifier,
  type TokenVerifierOptions,
} from "../../shared/auth/token.ts";

export type Json = Readonly<Record<string, unknown>>;

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** As it stands in the key set. */
  readonly jwk: JsonWebKey & Json;
}

const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };

export function createSigningKey(
  kid: string,
  { alg = "RS256", bits = 2048, jwk = {} }: { alg?: string; bits?: number; jwk?: Json } = {},
): SigningKey {
  const curve = CURVES[alg];
  const pair =
    curve === undefined
      ? generateKeyPairSync("rsa", { modulusLength: bits })
      : generateKeyPairSync("ec", { namedCurve: curve });
  return { kid, alg, ...pair, jwk: { ...pair.publicKey.export({ format: "jwk" }), kid, use: "sig", ...jwk } };
}

export function toBase64url(value: string | Json): string {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
}

/** A signature for a signing input; what `alg` says is done, whatever the key was made for. */
export function createSignature(input: string, alg: string, key: KeyObject | string): Buffer {
  const hash = `sha${alg.slice(2)}`;
  if (alg.startsWith("HS")) return createHmac(hash, key).update(input).digest();
  if (typeof key === "string") throw new Error("a text signs with HMAC only");
  if (alg.startsWith("ES")) return sign(hash, Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
  if (alg.startsWith("RS")) return sign(hash, Buffer.from(input), key);
  return sign(hash, Buffer.from(input), {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  });
}

export interface TokenParts {
  /** Merged into the header; `undefined` removes a member. A text stands for the whole header. */
  readonly header?: Json | string;
  /** The claims; a text is taken as it is. */
  readonly claims: Json | string;
  readonly key: SigningKey;
  readonly alg?: string;
  readonly signWith?: KeyObject | string;
}

export function createToken({ header = {}, claims, key, alg = key.alg, signWith }: TokenParts): string {
  const head = typeof header === "string" ? header : { alg, typ: "JWT", kid: key.kid, ...header };
  const input = `${toBase64url(head)}.${toBase64url(claims)}`;
  return `${input}.${createSignature(input, alg, signWith ?? key.privateKey).toString("base64url")}`;
}

export type Behaviour =
  | "ok"
  | "status500"
  | "hang" // takes the request and never answers
  | "hangInBody" // begins an answer and never ends it
  | "reset"
  | "redirect" // to a place that has the right document
  | "junk"
  | "huge"
  | "wrongIssuer"
  | "wrongShape";

export interface TestIssuer {
  /** `http://127.0.0.1:port`, also the issuer's identifier unless another was given. */
  readonly origin: string;
  readonly issuer: string;
  /** Requests so far. */
  readonly requests: { discovery: number; keySet: number; elsewhere: number };
  /** Called with every request, before it is answered. */
  readonly onRequest: (listener: (() => void) | undefined) => void;
  readonly discover: (behaviour: Behaviour) => void;
  readonly serveKeys: (behaviour: Behaviour) => void;
  readonly publish: (...jwks: readonly unknown[]) => void;
  /** Replaces `jwks_uri`. */
  readonly pointTo: (address: unknown) => void;
  /** Lets the answers that `hang` holds back go. */
  readonly release: () => void;
  readonly close: () => Promise<void>;
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

export async function createTestIssuer({ issuer }: { issuer?: string } = {}): Promise<TestIssuer> {
  const requests = { discovery: 0, keySet: 0, elsewhere: 0 };
  let keys: readonly unknown[] = [];
  let discovery: Behaviour = "ok";
  let keySet: Behaviour = "ok";
  let jwksUri: unknown;
  let listener: (() => void) | undefined;
  const held: (() => void)[] = [];

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://issuer");
    const isDiscovery = url.pathname.endsWith("/.well-known/openid-configuration");
    const isKeySet = url.pathname.endsWith("/keys");
    if (isDiscovery) requests.discovery++;
    else if (isKeySet) requests.keySet++;
    else requests.elsewhere++;
    listener?.();
    const moved = url.searchParams.has("moved"); // what a redirect leads to is always good
    if (isDiscovery)
      answer(moved ? "ok" : discovery, request, response, {
        issuer: discovery === "wrongIssuer" ? "https://issuer.example" : identifier,
        jwks_uri: jwksUri === undefined ? `${base}/keys` : jwksUri,
      });
    else if (isKeySet) answer(moved ? "ok" : keySet, request, response, { keys });
    else response.writeHead(404).end();
  });

  function answer(
    behaviour: Behaviour,
    request: IncomingMessage,
    response: ServerResponse,
    document: Json,
  ): void {
    const send = () =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document));
    switch (behaviour) {
      case "ok":
      case "wrongIssuer":
        send();
        break;
      case "status500":
        response.writeHead(500).end("broken");
        break;
      case "hang":
        held.push(send);
        break;
      case "hangInBody":
        response.writeHead(200, { "content-type": "application/json" }).write("{");
        break;
      case "reset":
        request.socket.destroy();
        break;
      case "redirect":
        response.writeHead(302, { location: `${request.url ?? ""}?moved` }).end();
        break;
      case "junk":
        response.writeHead(200).end("<html>not json</html>");
        break;
      case "huge":
        response.writeHead(200).end(JSON.stringify({ ...document, filler: "x".repeat(10 * 1024 * 1024) }));
        break;
      case "wrongShape":
        response.writeHead(200).end("[]");
        break;
    }
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${toPort(server)}`;
  const identifier = issuer ?? origin;
  const base = identifier.replace(/\/$/, "");

  async function close(): Promise<void> {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  }

  return {
    origin,
    issuer: identifier,
    requests,
    onRequest: (next) => {
      listener = next;
    },
    discover: (behaviour) => {
      discovery = behaviour;
    },
    serveKeys: (behaviour) => {
      keySet = behaviour;
    },
    publish: (...jwks) => {
      keys = jwks;
    },
    pointTo: (uri) => {
      jwksUri = uri;
    },
    release: () => {
      for (const send of held.splice(0)) send();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A fetch by which an issuer with a foreign name is served by a test issuer. */
export function createFetchFor(issuer: TestIssuer): typeof globalThis.fetch {
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    return globalThis.fetch(new URL(`${url.pathname}${url.search}`, issuer.origin), init);
  };
}

export const AUDIENCE = "api://secure-push";
export const SCOPE = "Notifications.Read";
export const ROLE = "Notifications.Send";

export interface TestVerifier extends TokenVerifier {
  /** Every line that was logged. */
  readonly lines: readonly string[];
  readonly now: () => Date;
  readonly advance: (seconds: number) => void;
  /** Claims of a device's good token. */
  readonly deviceClaims: (changes?: Json) => Json;
  /** Claims of a sender's good token. */
  readonly senderClaims: (changes?: Json) => Json;
}

/** A verifier on a clock that stands still until it is told to move. */
export function createTestVerifier(
  issuers: readonly string[],
  changes: Partial<TokenVerifierOptions> = {},
): TestVerifier {
  let nowMs = Date.UTC(2026, 0, 1);
  const now = () => new Date(nowMs);
  const lines: string[] = [];
  const verifier = createTokenVerifier({
    issuers,
    audiences: [AUDIENCE],
    algorithms: ["RS256"],
    tokenType: "any",
    clockToleranceSeconds: 60,
    scope: SCOPE,
    senderRole: ROLE,
    allowLoopback: true,
    log: createLog((_level, line) => lines.push(line), now),
    now,
    ...changes,
  });
  const claims = (): Json => {
    const seconds = nowMs / 1000;
    return { iss: issuers[0], aud: AUDIENCE, iat: seconds, nbf: seconds, exp: seconds + 3600 };
  };
  return {
    ...verifier,
    lines,
    now,
    advance: (seconds) => {
      nowMs += seconds * 1000;
    },
    deviceClaims: (more) => ({ ...claims(), sub: "alice", scope: `openid ${SCOPE}`, ...more }),
    senderClaims: (more) => ({ ...claims(), sub: "backend", azp: "backend", roles: [ROLE], ...more }),
  };
}
