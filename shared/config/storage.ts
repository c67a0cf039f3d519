// Settings of Azure Table Storage: an endpoint with managed identity, or a connection string. No I/O.
import { Secret } from "../base/secret.ts";
import { checkEndpoint, checkScheme } from "./checks.ts";
import type { Check, SettingsReader } from "./settingsReader.ts";

export type StorageConfig = { readonly tablePrefix: string } & (
  | { readonly connectionString: Secret<string> }
  | { readonly endpoint: string } // with managed identity
);

export function readStorage(read: SettingsReader, allowLoopback: boolean): StorageConfig {
  const tablePrefix = read.text("TABLE_PREFIX", checkTablePrefix) ?? "";
  const before = read.errors.length;
  const connectionString = read.text("STORAGE_CONNECTION_STRING", (text) =>
    checkConnectionString(text, allowLoopback),
  );
  // Always https: the managed identity's token travels there.
  const endpoint = read.text("STORAGE_TABLE_ENDPOINT", (text) => checkEndpoint(text, false));
  if (connectionString !== undefined && endpoint !== undefined)
    read.report("STORAGE_TABLE_ENDPOINT", "must not be set together with STORAGE_CONNECTION_STRING");
  if (endpoint !== undefined) return { tablePrefix, endpoint };
  if (connectionString === undefined && read.errors.length === before)
    read.report("STORAGE_TABLE_ENDPOINT", "is missing (or STORAGE_CONNECTION_STRING)");
  return { tablePrefix, connectionString: new Secret(connectionString ?? "") };
}

// A table's name is a letter, then letters and digits, at most 63 in all; our longest name takes 21.
const checkTablePrefix: Check = (text) =>
  /^[A-Za-z][A-Za-z0-9]{0,39}$/.test(text) ? undefined : "must be a letter and up to 39 letters or digits";

function checkConnectionString(text: string, allowLoopback: boolean): string | undefined {
  if (isDevelopmentStorage(text))
    return allowLoopback ? undefined : "must not be the development storage (it needs ALLOW_LOOPBACK)";
  const endpoint = toTableEndpoint(toConnectionParts(text));
  if (endpoint === undefined) return "must be a storage connection string";
  const url = URL.parse(endpoint);
  return url === null ? "must hold an endpoint that is a URL" : checkScheme(url, allowLoopback);
}

/** Wherever this stands in a connection string, the SDK takes the emulator's address and key and ignores the rest. */
export function isDevelopmentStorage(text: string): boolean {
  return /usedevelopmentstorage=true/i.test(text);
}

/** The parts of a connection string by name in lower case, as the SDK reads them: the first of equal names counts. */
export function toConnectionParts(text: string): ReadonlyMap<string, string> {
  const parts = new Map<string, string>();
  for (const part of text.split(";").map((item) => item.trim())) {
    const name = part.slice(0, Math.max(0, part.indexOf("="))).toLowerCase();
    if (!parts.has(name)) parts.set(name, part.slice(name.length + 1));
  }
  return parts;
}

/** The endpoint that the SDK would use; `undefined` if it could not use the connection string. */
function toTableEndpoint(parts: ReadonlyMap<string, string>): string | undefined {
  const valueOf = (name: string) => parts.get(name) ?? "";
  const [protocol, account] = [valueOf("defaultendpointsprotocol"), valueOf("accountname")];
  const [suffix, explicit] = [valueOf("endpointsuffix"), valueOf("tableendpoint")];
  // A SAS in place of the key would end up in the path of each request.
  if (![protocol, account, valueOf("accountkey")].every((value) => value !== "")) return undefined;
  if (explicit !== "") return explicit;
  return suffix === "" ? undefined : `${protocol}://${account}.table.${suffix}`;
}
