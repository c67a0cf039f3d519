// Settings of the key-encryption key: a key in Azure Key Vault, or local keys for development. No I/O.
import { Secret } from "../base/secret.ts";
import { isBare } from "../base/url.ts";
import type { VaultKey } from "../crypto/keyVault.ts";
import { checkScheme } from "./checks.ts";
import type { Check, SettingsReader } from "./settingsReader.ts";

export type KekConfig =
  | { readonly vaultKey: VaultKey } // reached with managed identity
  | { readonly localKeks: readonly Secret<Uint8Array>[] }; // 32 bytes each, newest first

export function readKek(read: SettingsReader): KekConfig {
  const before = read.errors.length;
  const keyUrl = read.text("PAYLOAD_KEK", checkKeyUrl);
  const texts = read.list("PAYLOAD_LOCAL_KEK", checkLocalKek);
  const vaultKey = keyUrl === undefined ? undefined : parseKeyUrl(keyUrl);
  if (vaultKey !== undefined && texts !== undefined)
    read.report("PAYLOAD_LOCAL_KEK", "must not be set together with PAYLOAD_KEK");
  if (vaultKey !== undefined) return { vaultKey };
  if (texts === undefined && read.errors.length === before)
    read.report("PAYLOAD_KEK", "is missing (or PAYLOAD_LOCAL_KEK)");
  return { localKeks: texts?.map((text) => new Secret<Uint8Array>(Buffer.from(text, "base64"))) ?? [] };
}

/** The key that `https://VAULT/keys/NAME` names; `undefined` for any other text, and for one with a version. */
export function parseKeyUrl(text: string): VaultKey | undefined {
  const url = URL.parse(text);
  if (url === null || !isBare(url)) return undefined;
  const name = /^\/keys\/([A-Za-z0-9-]{1,127})\/?$/.exec(url.pathname)?.[1];
  return name === undefined ? undefined : { vaultUrl: url.origin, name };
}

const checkKeyUrl: Check = (text) =>
  parseKeyUrl(text) === undefined
    ? "must be the address of a Key Vault key, without a version: https://VAULT.vault.azure.net/keys/NAME"
    : checkScheme(new URL(text), false); // always https: the managed identity's token travels there

const checkLocalKek: Check = (text) =>
  Buffer.from(text, "base64").length === 32 && Buffer.from(text, "base64").toString("base64") === text
    ? undefined
    : "must be 32 bytes in base64 (make one: openssl rand -base64 32)";
