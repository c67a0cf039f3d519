// A key-encryption key in Azure Key Vault: an RSA key that never leaves the vault. Wrapping takes two calls,
// unwrapping one (RSA-OAEP-256); the keyring keeps the unwrapped keys for an hour. I/O: HTTPS to the vault, with
// managed identity.
import { createHash } from "node:crypto";
import type { TokenCredential } from "@azure/identity";
import type { CryptographyClient, KeyClient, KeyVaultKey } from "@azure/keyvault-keys";
import { type CoolDown, createCoolDown } from "../base/coolDown.ts";
import { KeyUnavailableError, type KeyWrapper, type WrappedKey } from "./kek.ts";

/** A key in a vault, without a version: the newest version wraps, and every enabled one unwraps. */
export interface VaultKey {
  /** `https://VAULT.vault.azure.net`, without a slash at the end. */
  readonly vaultUrl: string;
  readonly name: string;
}

export interface KeyVaultOptions {
  /** The newest version wraps; every enabled version unwraps what it wrapped. */
  readonly key: VaultKey;
  readonly credential: TokenCredential;
  /** Development only: the vault is on this machine, and its challenge names another resource than its own host. */
  readonly allowLoopback: boolean;
  /** The authority that vouches for the vault's certificate in place of the default ones, PEM. */
  readonly ca?: string;
  /** Milliseconds since 1970. */
  readonly nowMs?: () => number;
}

const ALGORITHM = "RSA-OAEP-256";
const MAX_COOL_DOWNS = 100;

/** The vault's clients, and the pauses after its failures. */
interface State {
  readonly options: KeyVaultOptions;
  /** What the ids of the key's versions begin with. */
  readonly versionPrefix: string;
  readonly nowMs: () => number;
  /** Failures, by what failed: the newest version, one version, or one wrapped key. */
  readonly coolDowns: Map<string, CoolDown>;
  vault?: Promise<Vault>;
}

interface Vault {
  readonly keys: KeyClient;
  readonly toCryptography: (kekId: string) => CryptographyClient;
}

/**
 * Wraps by a key in the vault. Loads the SDK at the first call, so that deployments without a vault do not pay for it.
 * After a failure the vault is not asked again for 1 s, growing to 30 s; calls in between fail at once.
 */
export function createKeyVaultWrapper(options: KeyVaultOptions): KeyWrapper {
  const { key, nowMs = Date.now } = options;
  const versionPrefix = `${key.vaultUrl}/keys/${key.name}/`;
  const state: State = { options, versionPrefix, nowMs, coolDowns: new Map() };
  return {
    newestKekId: (signal) => readNewestKekId(state, signal),
    wrap: (plain, signal) => wrap(state, plain, signal),
    unwrap: (wrapped, signal) => unwrap(state, wrapped, signal),
  };
}

function readNewestKekId(state: State, signal: AbortSignal): Promise<string> {
  const { name } = state.options.key;
  return guard(state, { kekId: name, targets: [name] }, signal, async () =>
    toKekId(await (await load(state)).keys.getKey(name, { abortSignal: signal })),
  );
}

function wrap(state: State, plain: Uint8Array, signal: AbortSignal): Promise<WrappedKey> {
  const { name } = state.options.key;
  return guard(state, { kekId: name, targets: [name] }, signal, async () => {
    const { keys, toCryptography } = await load(state);
    const kekId = toKekId(await keys.getKey(name, { abortSignal: signal }));
    const { result } = await toCryptography(kekId).wrapKey(ALGORITHM, plain, { abortSignal: signal });
    return { kekId, wrapped: result };
  });
}

async function unwrap(
  state: State,
  { kekId, wrapped }: WrappedKey,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { versionPrefix, options } = state;
  // A row could name any vault. Only our own is asked and gets our token. Names in a vault ignore letter case.
  const isOurs = kekId.toLowerCase().startsWith(versionPrefix.toLowerCase());
  const version = isOurs ? kekId.slice(versionPrefix.length) : "";
  if (!/^[0-9a-f]{32}$/.test(version)) throw new KeyUnavailableError(options.key.name);
  const digest = createHash("sha256").update(wrapped).digest("base64url");
  return guard(state, { kekId, targets: [version, digest] }, signal, async () => {
    const cryptography = (await load(state)).toCryptography(versionPrefix + version);
    return (await cryptography.unwrapKey(ALGORITHM, wrapped, { abortSignal: signal })).result;
  });
}

function load(state: State): Promise<Vault> {
  return (state.vault ??= connect(state.options));
}

async function connect({ key, credential, allowLoopback, ca }: KeyVaultOptions): Promise<Vault> {
  const sdk = await import("../base/managedIdentity.ts");
  const clientOptions = {
    disableChallengeResourceVerification: allowLoopback,
    retryOptions: { maxRetries: 2, retryDelayInMs: 200, maxRetryDelayInMs: 1_000 },
    ...(ca === undefined ? {} : { tlsOptions: { ca } }),
  };
  return {
    keys: new sdk.KeyClient(key.vaultUrl, credential, { ...clientOptions }),
    // Given as a key rather than by its address, which the SDK would look up first: one more call, and one that
    // refuses an expired version, although the vault still unwraps with it.
    // A new client for each call: when two calls answer a client's first challenge at once, one of them can lose its
    // body, because the SDK's challenge policy keeps only one.
    toCryptography: (kekId) =>
      new sdk.CryptographyClient(toKey(key, kekId), credential, { ...clientOptions }),
  };
}

function toKey({ vaultUrl, name }: VaultKey, kekId: string): KeyVaultKey {
  return { id: kekId, name, properties: { id: kekId, name, vaultUrl } };
}

function toKekId({ id }: KeyVaultKey): string {
  if (id === undefined) throw new Error("the vault's key has no id");
  return id;
}

/** What a call is about: the name for errors, and whose failures stop it. The last target is the narrowest. */
interface Subject {
  readonly kekId: string;
  readonly targets: readonly string[];
}

/**
 * Makes a call of the vault unless one of its targets failed a moment ago.
 * @throws KeyUnavailableError for any failure of the vault or the network; the caller's own abort as it is.
 */
async function guard<T>(
  state: State,
  { kekId, targets }: Subject,
  signal: AbortSignal,
  call: () => Promise<T>,
): Promise<T> {
  if (targets.some((target) => (state.coolDowns.get(target)?.remainingMs() ?? 0) > 0))
    throw new KeyUnavailableError(kekId);
  try {
    const result = await call();
    for (const target of targets) state.coolDowns.delete(target);
    return result;
  } catch (error) {
    // A time limit is evidence against the vault; a caller that gave up is not.
    const isCallersAbort = signal.aborted && !isTimeout(signal.reason);
    if (!isCallersAbort) toCoolDown(state, isAboutThisKey(error) ? targets.at(-1) : targets[0]).failed();
    signal.throwIfAborted();
    throw new KeyUnavailableError(kekId, { cause: error });
  }
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === "TimeoutError";
}

/** A 400 is the vault's answer to a wrapped key that was altered; it says nothing about the vault. */
function isAboutThisKey(error: unknown): boolean {
  return error instanceof Error && "statusCode" in error && error.statusCode === 400;
}

function toCoolDown({ coolDowns, nowMs }: State, target = ""): CoolDown {
  const known = coolDowns.get(target);
  if (known !== undefined) return known;
  const [oldest] = coolDowns.keys();
  if (coolDowns.size >= MAX_COOL_DOWNS && oldest !== undefined) coolDowns.delete(oldest);
  const coolDown = createCoolDown(nowMs);
  coolDowns.set(target, coolDown);
  return coolDown;
}
