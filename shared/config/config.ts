// All settings, parsed and checked once at start (docs/settings.md). An error names the setting, never its value.
// No I/O but the file that EXTRA_CA_FILE names: the environment is handed in.
import { err, ok, type Result } from "../base/result.ts";
import { Secret } from "../base/secret.ts";
import { MAX_TTL_SECONDS, MIN_TTL_SECONDS } from "../domain/limits.ts";
import { readExtraAuthorities } from "./authorities.ts";
import { type KekConfig, readKek } from "./kek.ts";
import { type MpnsConfig, readMpns } from "./mpns.ts";
import {
  type Check,
  type ConfigError,
  createSettingsReader,
  type Environment,
  type SettingsReader,
} from "./settingsReader.ts";
import { readStorage, type StorageConfig } from "./storage.ts";
import { readSenders, readTokens, type SenderConfig, type TokenConfig } from "./tokens.ts";
import { readWebPush, type WebPushConfig } from "./webPush.ts";

/** 900 KiB: together with its other properties this still fits into a table entity of 1 MiB. */
const MAX_PAYLOAD_BYTES_CEILING = 921_600;

export interface Config {
  readonly storage: StorageConfig;
  readonly hub: { readonly connectionString: Secret<string>; readonly name: string };
  /** Absent: this service sends no Web Push itself, and the hub serves browsers. */
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
  /** Certificate authorities to trust in addition to the system's, PEM. */
  readonly extraAuthorities?: readonly string[];
  /** Development only: plain http to this machine is allowed. */
  readonly allowLoopback: boolean;
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

/** The generic text of an alert push. It says that there is a notification, never what it holds. */
export interface AlertText {
  readonly defaultDisplay: "alert" | "silent";
  readonly title: AlertString;
  readonly body: AlertString;
}

/** Plain text, or a key that the app looks up in its own languages. */
export type AlertString = { readonly text: string } | { readonly locKey: string };

/** Reads all settings. Any value that is missing, malformed or unsafe is an error; all errors are returned at once. */
export function parseConfig(env: Environment): Result<Config, readonly ConfigError[]> {
  const errors: ConfigError[] = [];
  const read = createSettingsReader(env, errors);
  const allowLoopback = read.isTrue("ALLOW_LOOPBACK");
  if (allowLoopback && read.has("WEBSITE_SITE_NAME"))
    read.report("ALLOW_LOOPBACK", "must not be true in a deployment");
  const webPush = readWebPush(env, read);
  const mpns = readMpns(read);
  const extraAuthorities = readExtraAuthorities(read);
  const config: Config = {
    storage: readStorage(read, allowLoopback),
    hub: readHub(read),
    ...(webPush === undefined ? {} : { webPush }),
    ...(mpns === undefined ? {} : { mpns }),
    tokens: readTokens(read, allowLoopback),
    senders: readSenders(read),
    kek: readKek(read),
    limits: readLimits(read),
    alertText: readAlertText(read),
    schedules: readSchedules(read),
    ...(extraAuthorities === undefined ? {} : { extraAuthorities }),
    allowLoopback,
  };
  return errors.length === 0 ? ok(config) : err(errors);
}

/** One text for all errors of a start, one line each. */
export function toConfigErrorText(errors: readonly ConfigError[]): string {
  return [
    "The settings are not usable:",
    ...errors.map(({ setting, error }) => `  ${setting}: ${error}`),
  ].join("\n");
}

function readHub(read: SettingsReader): Config["hub"] {
  return {
    connectionString: new Secret(read.required("NOTIFICATION_HUB_CONNECTION_STRING")),
    name: read.required("NOTIFICATION_HUB_NAME", checkHubName),
  };
}

function readLimits(read: SettingsReader): Limits {
  const userIdPattern = read.pattern("USER_ID_PATTERN");
  return {
    defaultTtlSeconds: read.integer("DEFAULT_TTL", {
      lowest: MIN_TTL_SECONDS,
      highest: MAX_TTL_SECONDS,
      otherwise: 604_800,
    }),
    maxPayloadBytes: read.integer("MAX_PAYLOAD_BYTES", {
      lowest: 1,
      highest: MAX_PAYLOAD_BYTES_CEILING,
      otherwise: 262_144,
    }),
    ...(userIdPattern === undefined ? {} : { userIdPattern }),
    maxInstallations: read.integer("MAX_INSTALLATIONS", { lowest: 1, highest: 1000, otherwise: 50 }),
    installationTtlDays: read.integer("INSTALLATION_TTL", { lowest: 1, highest: 3650, otherwise: 90 }),
    requireIdempotencyKey: read.isTrue("REQUIRE_IDEMPOTENCY_KEY"),
  };
}

function readAlertText(read: SettingsReader): AlertText {
  return {
    defaultDisplay: read.choice("DEFAULT_DISPLAY", ["alert", "silent"], "alert"),
    title: readAlertString(read, "ALERT_TITLE", "New notification"),
    body: readAlertString(read, "ALERT_BODY", "Open the app to read it."),
  };
}

function readAlertString(
  read: SettingsReader,
  setting: "ALERT_TITLE" | "ALERT_BODY",
  otherwise: string,
): AlertString {
  const plain = read.text(setting, checkAlertString);
  const locKey = read.text(`${setting}_LOC_KEY`, checkAlertString);
  if (plain !== undefined && locKey !== undefined)
    read.report(`${setting}_LOC_KEY`, `must not be set together with ${setting}`);
  return locKey === undefined ? { text: plain ?? otherwise } : { locKey };
}

function readSchedules(read: SettingsReader): Config["schedules"] {
  return {
    dropExpired: read.text("DROP_EXPIRED_SCHEDULE", checkSchedule) ?? "0 17 * * * *",
    redeliverPushes: read.text("REDELIVER_SCHEDULE", checkSchedule) ?? "0 * * * * *",
  };
}

const checkHubName: Check = (text) =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,259}$/.test(text) ? undefined : "must be the name of a hub";

/** Checks the number of fields only. The platform judges what they hold. */
const checkSchedule: Check = (text) =>
  /^\S+(?: \S+){5}$/.test(text) ? undefined : "must be NCRONTAB with six fields, the seconds first";

// Push services take 4 KB in all.
const checkAlertString: Check = (text) => (text.length <= 200 ? undefined : "must be at most 200 characters");
