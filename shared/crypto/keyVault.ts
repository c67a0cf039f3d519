// A key-encryption key in Azure Key Vault: an RSA key that never leaves it. Wrapping and unwrapping are one call each
// (RSA-OAEP-256); the keyring keeps what they give for an hour. I/O: HTTPS to the vault, by managed identity.
import type { TokenCredential } from "@azure/identity";
import type { CryptographyClient, KeyClient, KeyVaultKey } from "@azure/keyvault-keys";
import { KeyUnavailableError, type KeyWrapper } from "./kek.ts";

export interface KeyVaultOptions {
  /** `https://VAULT/keys/NAME`, without a version: the newest wraps, and every enabled one opens what it wrapped. */
  readonly keyUrl: string;
  readonly credential: TokenCredential;
  /** Development only: the vault is this machine's, and names another resource than its own host in its challenge. */
  readonly allowLoopback: boolean;
  /** An authority to trust beside the system's, PEM. */
  readonly ca?: string;
}

const ALGORITHM = "RSA-OAEP-256";

/** Loads the SDK at the first call: without a vault it costs nothing. */
export function createKeyVaultWrapper(options: KeyVaultOptions): KeyWrapper {
  const { vaultUrl, name } = parseKeyUrl(options.keyUrl);
  const ownVersions = `${vaultUrl}/keys/${name}/`;
  let loaded: Promise<Vault> | undefined;
  const vault = () => (loaded ??= connect(vaultUrl, name, options));

  return {
    newestKekId: async (signal) => {
      const newest = await call(
        name,
        async () => (await vault()).keys.getKey(name, { abortSignal: signal }),
        signal,
      );
      return toId(newest);
    },
    wrap: async (key, signal) => {
      const { keys, cryptographyOf } = await vault();
      return call(
        name,
        async () => {
          const newest = await keys.getKey(name, { abortSignal: signal });
          const kekId = toId(newest);
          const { result } = await cryptographyOf(kekId).wrapKey(ALGORITHM, key, { abortSignal: signal });
          return { kekId, wrapped: result };
        },
        signal,
      );
    },
    unwrap: async ({ kekId, wrapped }, signal) => {
      // The row could name any vault: ours alone is asked, and gets our token.
      const isOurs = kekId.toLowerCase().startsWith(ownVersions.toLowerCase()); // a vault's names have no case
      const version = isOurs ? kekId.slice(ownVersions.length) : "";
      if (!/^[0-9a-f]{32}$/.test(version)) throw new KeyUnavailableError(name);
      const { cryptographyOf } = await vault();
      return call(
        kekId,
        async () =>
          (await cryptographyOf(ownVersions + version).unwrapKey(ALGORITHM, wrapped, { abortSignal: signal }))
            .result,
        signal,
      );
    },
  };
}

interface Vault {
  readonly keys: KeyClient;
  readonly cryptographyOf: (kekId: string) => CryptographyClient;
}

async function connect(vaultUrl: string, name: string, options: KeyVaultOptions): Promise<Vault> {
  const sdk = await import("../base/managedIdentity.ts");
  const clientOptions = {
    disableChallengeResourceVerification: options.allowLoopback,
    retryOptions: { maxRetries: 2, retryDelayInMs: 200, maxRetryDelayInMs: 1_000 },
    ...(options.ca === undefined ? {} : { tlsOptions: { ca: options.ca } }),
  };
  return {
    keys: new sdk.KeyClient(vaultUrl, options.credential, { ...clientOptions }),
    // Given as a key rather than by its address, which the SDK would look up first: one call more, and one that
    // refuses a version past its expiry, although the vault still opens what that wrapped.
    // A client for each call: two that answer a client's first challenge at once can lose a body (its policy keeps one).
    cryptographyOf: (kekId) =>
      new sdk.CryptographyClient(toKey(vaultUrl, name, kekId), options.credential, { ...clientOptions }),
  };
}

function toKey(vaultUrl: string, name: string, kekId: string): KeyVaultKey {
  return { id: kekId, name, properties: { id: kekId, name, vaultUrl } };
}

function toId({ id }: KeyVaultKey): string {
  if (id === undefined) throw new Error("the vault's key has no id");
  return id;
}

/** @throws KeyUnavailableError for whatever the vault or the network does; the caller's abort is its own. */
async function call<T>(kekId: string, operation: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    signal.throwIfAborted();
    throw new KeyUnavailableError(kekId, { cause: error });
  }
}

function parseKeyUrl(keyUrl: string): { readonly vaultUrl: string; readonly name: string } {
  const { origin, pathname } = new URL(keyUrl);
  const name = /^\/keys\/([A-Za-z0-9-]{1,127})\/?$/.exec(pathname)?.[1];
  if (name === undefined) throw new Error("not the address of a key without a version");
  return { vaultUrl: origin, name };
}
