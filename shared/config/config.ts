// The settings, parsed and checked once at start (docs/settings.md). A fault names the setting, never its value.
// No I/O: the environment is handed in.
import { err, ok, type Result } from "../base/result.ts";
import { Secret } from "../base/secret.ts";
import { readExtraAuthorities } from "./authorities.ts";
import { type MpnsConfig, readMpns } from "./mpns.ts";
import {
  type Check,
  type ConfigError,
  createSettingsReader,
  type Environment,
  type SettingsReader,
} from "./settingsReader.ts";
import { readWebPush, type WebPushConfig } from "./webPush.ts";

export const MIN_TTL_SECONDS = 60;
/** 28 days: what push services keep at most, and so the longest lifetime of a notification. */
export const MAX_TTL_SECONDS = 2_419_200;
const MAX_PAYLOAD_BYTES_CEILING = 921_600; // 900 KiB: fits an entity of 1 MiB with all that stands beside it

export interface Config {
  readonly storage: StorageConfig;
  readonly hub: { readonly connectionString: Secret<string>; readonly name: string };
  /** Absent: no Web Push of ours, and the hub serves browsers. */
  readonly webPush?: WebPushConfig;
  /** Absent: no MPNS. */
  readonly mpns?: MpnsConfig;
  readonly tokens: TokenConfig;
  readonly senders: SenderConfig;
  readonly kek: KekConfig;
  readonly limits: Limits;
  readonly alertText: AlertText;
  /** NCRONTAB. */
  readonly schedules: { readonly dropExpired: string; readonly redeliverPushes: string };
  /** PEM certificates of authorities that outgoing TLS trusts in addition to the system's. */
  readonly extraAuthorities?: readonly string[];
  /** Development only: plain http and loopback addresses are allowed. */
  readonly allowLoopback: boolean;
}

export type StorageConfig = { readonly tablePrefix: string } & (
  | { readonly connectionString: Secret<string> }
  | { readonly endpoint: string } // with managed identity
);

type KekConfig =
  | { readonly keyUrl: string } // in Azure Key Vault, with managed identity
  | { readonly localKeks: readonly Secret<Uint8Array>[] }; // 32 bytes each, newest first

export interface TokenConfig {
  /** Compared character for character with `iss`, and where discovery starts. */
  readonly issuers: readonly string[];
  readonly audiences: readonly string[];
  /** Symmetric ones and `none` are ignored. */
  readonly algorithms: readonly string[];
  readonly tokenType: "any" | "at+jwt";
  /** For `exp`, `nbf` and `iat` alike; more than 300 counts as 300. */
  readonly clockToleranceSeconds: number;
  readonly scope: string;
  /** Absent: `scp` for Entra issuers, else `scope`. */
  readonly scopeClaim?: string;
  /** A claim's name, or `tid.oid`. Absent: `oid` for Entra issuers, else `sub`. */
  readonly userClaim?: string;
}

interface SenderConfig {
  /** Who checks a sender: the platform by function key, or this service by token. One, never both. */
  readonly auth: "functionKey" | "token";
  readonly role: string;
  readonly clientIds?: readonly string[];
}

export interface Limits {
  readonly defaultTtlSeconds: number;
  readonly maxPayloadBytes: number;
  /** Narrows user ids further than 1–256 visible ASCII characters. */
  readonly userIdPattern?: RegExp;
  readonly maxInstallations: number;
  readonly installationTtlDays: number;
  readonly requireIdempotencyKey: boolean;
}

/** The generic text of a push: it says that something is there, never what. */
export interface AlertText {
  readonly defaultDisplay: "alert" | "silent";
  readonly title: AlertString;
  readonly body: AlertString;
}

/** Plain text, or a key that the app looks up in its own languages. */
export type AlertString = { readonly text: string } | { readonly locKey: string };

/** Reads the settings; a value that is missing, malformed or unsafe is a fault, and all faults are told at once. */
export function parseConfig(env: Environment): Result<Config, readonly ConfigError[]> {
  const faults: ConfigError[] = [];
  const read = createSettingsReader(env, faults);

  const allowLoopback = read.choice("ALLOW_LOOPBACK", ["true", "false"], "false") === "true";
  if (allowLoopback && env["WEBSITE_SITE_NAME"] !== undefined)
    faults.push({ setting: "ALLOW_LOOPBACK", fault: "must not be true in a deployment" });

  const scopeClaim = read.text("AUTH_SCOPE_CLAIM", claimName);
  const userClaim = read.text("AUTH_USER_CLAIM", userClaimName);
  const clientIds = read.list("SENDER_CLIENT_IDS", visible);
  const userIdPattern = read.pattern("USER_ID_PATTERN");
  const webPush = readWebPush(env, faults);
  const mpns = readMpns(env, faults);
  const extraAuthorities = readExtraAuthorities(read, faults);

  const config: Config = {
    storage: readStorage(read, faults, allowLoopback),
    hub: {
      connectionString: new Secret(read.required("NOTIFICATION_HUB_CONNECTION_STRING")),
      name: read.required("NOTIFICATION_HUB_NAME", hubName),
    },
    ...(webPush === undefined ? {} : { webPush }),
    ...(mpns === undefined ? {} : { mpns }),
    tokens: {
      issuers: read.requiredList("AUTH_ISSUER", (text) => issuerFault(text, allowLoopback)),
      audiences: read.requiredList("AUTH_AUDIENCE", audienceFault),
      algorithms: read.list("AUTH_ALGORITHMS", algorithmFault) ?? ["RS256"],
      tokenType: read.choice("AUTH_TOKEN_TYPE", ["any", "at+jwt"], "any"),
      clockToleranceSeconds: read.integer("AUTH_CLOCK_TOLERANCE", 0, 300, 60),
      scope: read.text("AUTH_SCOPE", scopeToken) ?? "Notifications.Read",
      ...(scopeClaim === undefined ? {} : { scopeClaim }),
      ...(userClaim === undefined ? {} : { userClaim }),
    },
    senders: {
      auth: read.choice("SEND_AUTH", ["functionKey", "token"], "functionKey"),
      role: read.text("SENDER_ROLE", scopeToken) ?? "Notifications.Send",
      ...(clientIds === undefined ? {} : { clientIds }),
    },
    kek: readKek(read, faults),
    limits: {
      defaultTtlSeconds: read.integer("DEFAULT_TTL", MIN_TTL_SECONDS, MAX_TTL_SECONDS, 604_800),
      maxPayloadBytes: read.integer("MAX_PAYLOAD_BYTES", 1, MAX_PAYLOAD_BYTES_CEILING, 262_144),
      ...(userIdPattern === undefined ? {} : { userIdPattern }),
      maxInstallations: read.integer("MAX_INSTALLATIONS", 1, 1000, 50),
      installationTtlDays: read.integer("INSTALLATION_TTL", 1, 3650, 90),
      requireIdempotencyKey: read.choice("REQUIRE_IDEMPOTENCY_KEY", ["true", "false"], "false") === "true",
    },
    alertText: {
      defaultDisplay: read.choice("DEFAULT_DISPLAY", ["alert", "silent"], "alert"),
      title: readAlertString(read, faults, "ALERT_TITLE", "New notification"),
      body: readAlertString(read, faults, "ALERT_BODY", "Open the app to read it."),
    },
    schedules: {
      dropExpired: read.text("DROP_EXPIRED_SCHEDULE", scheduleFault) ?? "0 17 * * * *",
      redeliverPushes: read.text("REDELIVER_SCHEDULE", scheduleFault) ?? "0 * * * * *",
    },
    ...(extraAuthorities === undefined ? {} : { extraAuthorities }),
    allowLoopback,
  };
  return faults.length === 0 ? ok(config) : err(faults);
}

/** A text in which the faults of a start stand one under the other. */
export function toConfigErrorText(faults: readonly ConfigError[]): string {
  return ["The settings are not usable:", ...faults.map((f) => `  ${f.setting}: ${f.fault}`)].join("\n");
}

/** Whether a URL's host is this machine: the only place where plain http is ever spoken. */
export function isLoopback(url: URL): boolean {
  return url.hostname === "localhost" || url.hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(url.hostname);
}

const visible: Check = (text) =>
  /^[\x21-\x7e]+$/.test(text) ? undefined : "must be visible ASCII characters without spaces";
const claimName: Check = (text) => (text.length > 128 ? "is too long" : visible(text));
// RFC 6749 §3.3: scope-token
const scopeToken: Check = (text) =>
  /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(text) ? undefined : "must be one scope or role";
const hubName: Check = (text) =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,259}$/.test(text) ? undefined : "is not the name of a hub";

/** Claims that a person or an administrator can change, and so can be given to somebody else later (R22). */
const CHANGEABLE_CLAIMS: ReadonlySet<string> = new Set([
  "upn",
  "email",
  "preferred_username",
  "name",
  "unique_name",
]);
const userClaimName: Check = (text) =>
  CHANGEABLE_CLAIMS.has(text)
    ? "names a claim that can be reassigned; use oid, sub or tid.oid"
    : claimName(text);

const ASYMMETRIC_ALGORITHMS: ReadonlySet<string> = new Set(
  "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519".split(" "),
);
const algorithmFault: Check = (text) =>
  ASYMMETRIC_ALGORITHMS.has(text) ? undefined : "holds an algorithm that is not an asymmetric signature";

const audienceFault: Check = (text) => (text === "*" ? "must not be a wildcard" : visible(text));

function issuerFault(text: string, allowLoopback: boolean): string | undefined {
  const url = URL.parse(text);
  if (url === null || text.includes("*") || text.includes("{")) return "must hold URLs without placeholders";
  if (!isBare(url)) return "must hold URLs without query or user";
  return schemeFault(url, allowLoopback);
}

/** Scheme, host and path alone: what else a URL can hold would be a secret, or lost. */
function isBare({ search, hash, username, password }: URL): boolean {
  return [search, hash, username, password].every((part) => part === "");
}

function schemeFault(url: URL, allowLoopback: boolean): string | undefined {
  if (url.protocol === "https:") return undefined;
  if (url.protocol !== "http:") return "must be https";
  if (!isLoopback(url)) return "must be https";
  return allowLoopback ? undefined : "must be https (plain http to this machine needs ALLOW_LOOPBACK)";
}

function readStorage(read: SettingsReader, faults: ConfigError[], allowLoopback: boolean): StorageConfig {
  const tablePrefix = read.text("TABLE_PREFIX", tablePrefixFault) ?? "";
  const connectionString = read.text("STORAGE_CONNECTION_STRING", (text) =>
    connectionStringFault(text, allowLoopback),
  );
  const endpoint = read.text("STORAGE_TABLE_ENDPOINT", (text) => {
    const url = URL.parse(text);
    if (url === null || !isBare(url)) return "must be a URL without query or user";
    return schemeFault(url, false); // a bearer token travels there
  });
  if (connectionString !== undefined && endpoint !== undefined)
    faults.push({
      setting: "STORAGE_TABLE_ENDPOINT",
      fault: "stands beside STORAGE_CONNECTION_STRING; keep one",
    });
  if (endpoint !== undefined) return { tablePrefix, endpoint };
  if (connectionString === undefined && !faults.some((f) => f.setting.startsWith("STORAGE_")))
    faults.push({ setting: "STORAGE_TABLE_ENDPOINT", fault: "is missing (or STORAGE_CONNECTION_STRING)" });
  return { tablePrefix, connectionString: new Secret(connectionString ?? "") };
}

// Table names: a letter, then letters and digits, 63 in all; the longest of ours takes 21.
const tablePrefixFault: Check = (text) =>
  /^[A-Za-z][A-Za-z0-9]{0,39}$/.test(text) ? undefined : "must be a letter and up to 39 letters or digits";

/** Reads it as the SDK does: names in any letter case, the first of several counts. */
function connectionStringFault(text: string, allowLoopback: boolean): string | undefined {
  // Wherever it stands, the SDK then takes the emulator's address and leaves the rest aside.
  if (/usedevelopmentstorage=true/i.test(text)) return allowLoopback ? undefined : "needs ALLOW_LOOPBACK";
  const parts = new Map<string, string>();
  for (const part of text.split(";").map((item) => item.trim())) {
    const name = part.slice(0, Math.max(0, part.indexOf("="))).toLowerCase();
    if (!parts.has(name)) parts.set(name, part.slice(name.length + 1));
  }
  const valueOf = (name: string) => parts.get(name) ?? "";
  const [protocol, suffix] = [valueOf("defaultendpointsprotocol"), valueOf("endpointsuffix")];
  const hasAccount = [protocol, valueOf("accountname"), valueOf("accountkey")].every((value) => value !== "");
  const made = hasAccount && suffix !== "" ? `${protocol}://${valueOf("accountname")}.table.${suffix}` : "";
  const endpoint = valueOf("tableendpoint") === "" ? made : valueOf("tableendpoint");
  if (endpoint === "" || !(hasAccount || valueOf("sharedaccesssignature") !== ""))
    return "is not a storage connection string";
  const url = URL.parse(endpoint);
  return url === null ? "holds an endpoint that is no URL" : schemeFault(url, allowLoopback);
}

function readKek(read: SettingsReader, faults: ConfigError[]): KekConfig {
  const before = faults.length;
  const keyUrl = read.text("PAYLOAD_KEK", keyUrlFault);
  const texts = read.list("PAYLOAD_LOCAL_KEK", localKekFault);
  if (keyUrl !== undefined && texts !== undefined)
    faults.push({ setting: "PAYLOAD_LOCAL_KEK", fault: "stands beside PAYLOAD_KEK; keep one" });
  if (keyUrl !== undefined) return { keyUrl };
  if (texts === undefined && faults.length === before)
    faults.push({ setting: "PAYLOAD_KEK", fault: "is missing (or PAYLOAD_LOCAL_KEK)" });
  return { localKeks: texts?.map((text) => new Secret<Uint8Array>(Buffer.from(text, "base64"))) ?? [] };
}

/** Without a version, so that a new one is used when there is one. The token for the vault travels there: https. */
const keyUrlFault: Check = (text) => {
  const url = URL.parse(text);
  if (url === null || !isBare(url) || !/^\/keys\/[A-Za-z0-9-]{1,127}\/?$/.test(url.pathname))
    return "must be the address of a Key Vault key, without a version: https://VAULT.vault.azure.net/keys/NAME";
  return schemeFault(url, false);
};

const localKekFault: Check = (text) =>
  Buffer.from(text, "base64").length === 32 && Buffer.from(text, "base64").toString("base64") === text
    ? undefined
    : "must be 32 bytes in base64 (make one: openssl rand -base64 32)";

/** The form alone: what its fields may hold is the platform's to judge. */
const scheduleFault: Check = (text) =>
  /^\S+(?: \S+){5}$/.test(text) ? undefined : "must be NCRONTAB with six fields, the seconds first";

// The push services take 4 KB in all.
const checkAlertString: Check = (text) => (text.length <= 200 ? undefined : "must be at most 200 characters");

function readAlertString(
  read: SettingsReader,
  faults: ConfigError[],
  setting: "ALERT_TITLE" | "ALERT_BODY",
  otherwise: string,
): AlertString {
  const plain = read.text(setting, checkAlertString);
  const locKey = read.text(`${setting}_LOC_KEY`, checkAlertString);
  if (plain !== undefined && locKey !== undefined)
    faults.push({ setting: `${setting}_LOC_KEY`, fault: `stands beside ${setting}; keep one` });
  return locKey === undefined ? { text: plain ?? otherwise } : { locKey };
}
