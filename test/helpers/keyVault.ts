// A small double of Azure Key Vault over real TLS: one RSA key with versions, and the calls that the SDK makes of it
// (get key, wrap, unwrap; challenge authentication). Azure Key Vault's REST API: keys, RSA-OAEP-256.
import {
  constants,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { toPort } from "../../local/server.ts";
import { createServerCertificate } from "./certificates.ts";

interface VaultRequest {
  readonly method: string;
  readonly path: string;
  readonly isAuthorized: boolean;
}

export interface KeyVaultDouble {
  /** Of the key, without a version. */
  readonly keyUrl: string;
  /** What a client has to trust, PEM. */
  readonly ca: string;
  readonly requests: readonly VaultRequest[];
  /** Adds a version, which is the newest from then on; answers its id. */
  readonly rotate: () => string;
  readonly disable: (keyId: string) => void;
  /** The version says that it has expired; the vault still unwraps by it. */
  readonly expire: (keyId: string) => void;
  /** Answers every request so, until told `undefined`. */
  readonly fail: (answer: number | "hang" | undefined) => void;
  readonly close: () => Promise<void>;
}

interface Version {
  readonly id: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  isEnabled: boolean;
  expiresAt?: number;
}

/** The token that it takes; any other is a 401. */
export const VAULT_TOKEN = "vault-token";
const NAME = "payload-kek";

export async function createKeyVault(): Promise<KeyVaultDouble> {
  const { ca, certificate, privateKey } = await createServerCertificate("127.0.0.1");
  const versions: Version[] = [];
  const requests: VaultRequest[] = [];
  let failure: number | "hang" | undefined;

  const server = createServer({ cert: certificate, key: privateKey }, (request, response) => {
    serve(request, response).catch(() => response.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `https://127.0.0.1:${toPort(server)}`;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", origin);
    const isAuthorized = request.headers.authorization === `Bearer ${VAULT_TOKEN}`;
    requests.push({ method: request.method ?? "", path: pathname, isAuthorized });
    const body = await text(request);
    const answer = (status: number, value: object, headers = {}) =>
      void response
        .writeHead(status, { "content-type": "application/json", ...headers })
        .end(JSON.stringify(value));
    if (failure === "hang") return;
    if (failure !== undefined) return answer(failure, { error: { code: "Failed", message: "failed" } });
    if (!isAuthorized)
      return answer(
        401,
        { error: { code: "Unauthorized", message: "AKV10000" } },
        {
          "www-authenticate":
            'Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"',
        },
      );
    if (!searchParams.has("api-version")) return answer(400, { error: { code: "BadParameter" } });

    const [, collection, name, versionName = "", operation] = pathname.split("/");
    const version =
      versionName === "" ? versions.at(-1) : versions.find(({ id }) => id.endsWith(`/${versionName}`));
    if (collection !== "keys" || name !== NAME || version === undefined)
      return answer(404, { error: { code: "KeyNotFound" } });
    if (request.method === "GET" && operation === undefined) return answer(200, toBundle(version));
    if (!version.isEnabled)
      return answer(403, { error: { code: "Forbidden", innererror: { code: "KeyDisabled" } } });
    const { alg, value } = JSON.parse(body) as { readonly alg?: string; readonly value?: string };
    const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
    if (request.method !== "POST" || alg !== "RSA-OAEP-256")
      return answer(400, { error: { code: "BadParameter" } });
    const bytes = Buffer.from(value ?? "", "base64url");
    try {
      if (operation === "wrapkey") {
        const wrapped = publicEncrypt({ key: version.publicKey, ...padding }, bytes);
        return answer(200, { kid: version.id, value: wrapped.toString("base64url") });
      }
      if (operation === "unwrapkey") {
        const unwrapped = privateDecrypt({ key: version.privateKey, ...padding }, bytes);
        return answer(200, { kid: version.id, value: unwrapped.toString("base64url") });
      }
    } catch {
      // what does not unwrap is a bad parameter to the vault
    }
    return answer(400, { error: { code: "BadParameter" } });
  }

  const find = (keyId: string) => {
    const version = versions.find(({ id }) => id === keyId);
    if (version === undefined) throw new Error("no such version");
    return version;
  };
  const double: KeyVaultDouble = {
    keyUrl: `${origin}/keys/${NAME}`,
    ca,
    requests,
    rotate: () => {
      const id = `${origin}/keys/${NAME}/${randomBytes(16).toString("hex")}`;
      versions.push({ id, isEnabled: true, ...generateKeyPairSync("rsa", { modulusLength: 2048 }) });
      return id;
    },
    disable: (keyId) => {
      find(keyId).isEnabled = false;
    },
    expire: (keyId) => {
      find(keyId).expiresAt = 1;
    },
    fail: (answer) => {
      failure = answer;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  double.rotate();
  return double;
}

function toBundle({ id, publicKey, isEnabled, expiresAt }: Version): object {
  const { n, e } = publicKey.export({ format: "jwk" });
  return {
    key: { kid: id, kty: "RSA", key_ops: ["wrapKey", "unwrapKey"], n, e },
    attributes: { enabled: isEnabled, created: 1, updated: 1, exp: expiresAt },
  };
}
