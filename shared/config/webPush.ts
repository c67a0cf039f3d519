// The settings of Web Push: VAPID_KEYS, VAPID_SUBJECT and WEB_PUSH_HOSTS. No I/O: the environment is handed in.
import { err, ok, type Result } from "../base/result.ts";
import { checkVapidSubject, parseVapidKeys, type VapidKey } from "../crypto/vapid.ts";
import { type HostRule, readHostRules } from "./hostRules.ts";
import {
  type ConfigError,
  createSettingsReader,
  type Environment,
  type SettingsReader,
} from "./settingsReader.ts";

export interface WebPushConfig {
  /** The keys, or the error that stops this sender alone. */
  readonly vapid: Result<VapidConfig, ConfigError>;
  readonly hosts: readonly HostRule[];
}

interface VapidConfig {
  /** At least one, the newest first. */
  readonly keys: readonly VapidKey[];
  readonly subject: string;
}

/**
 * The push services of the browsers: FCM (Chrome and Chromium, which without Google's keys uses jmt17), Mozilla, Apple,
 * and WNS (Edge on Windows).
 */
const DEFAULT_WEB_PUSH_HOSTS =
  "fcm.googleapis.com,jmt17.google.com,*.push.services.mozilla.com,*.push.apple.com,*.notify.windows.com,*.wns.windows.com";

/**
 * Reads the settings. Without VAPID_KEYS there is no Web Push, and the hub serves browsers. An error in the keys or the
 * subject is part of the result; one in the list of hosts stops the start.
 */
export function readWebPush(env: Environment, read: SettingsReader): WebPushConfig | undefined {
  const hosts = readHostRules(read, "WEB_PUSH_HOSTS", DEFAULT_WEB_PUSH_HOSTS);
  const vapid = readVapid(env);
  return read.asGiven("VAPID_KEYS") === undefined ? undefined : { vapid, hosts };
}

function readVapid(env: Environment): Result<VapidConfig, ConfigError> {
  const errors: ConfigError[] = [];
  const read = createSettingsReader(env, errors);
  const text = read.required("VAPID_KEYS");
  const subject = read.required("VAPID_SUBJECT", checkVapidSubject);
  const [error] = errors;
  if (error !== undefined) return err(error);
  const keys = parseVapidKeys(text);
  return keys.ok ? ok({ keys: keys.value, subject }) : err({ setting: "VAPID_KEYS", error: keys.error });
}
