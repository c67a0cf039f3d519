// The settings of Web Push: which errors stop this sender alone, and which stop the start.
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { readWebPush } from "../../shared/config/webPush.ts";
import {
  type ConfigError,
  createSettingsReader,
  type Environment,
} from "../../shared/config/settingsReader.ts";
import { judgeUrl } from "../../shared/push/addresses.ts";

const jwk = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
const VAPID_KEYS = JSON.stringify({ keys: [jwk] });
const VAPID_SUBJECT = "mailto:push@example.com";

function read(env: Environment) {
  const errors: ConfigError[] = [];
  return { config: readWebPush(env, createSettingsReader(env, errors)), errors };
}

test("without VAPID_KEYS there is no Web Push, whatever else is set", () => {
  for (const env of [{}, { VAPID_KEYS: "" }, { VAPID_KEYS: "  " }, { VAPID_SUBJECT: "x" }])
    expect(read(env)).toEqual({ config: undefined, errors: [] });
});

test("with keys and a subject it is configured, for the hosts of the browsers' push services", () => {
  const { config, errors } = read({ VAPID_KEYS, VAPID_SUBJECT });
  expect(errors).toEqual([]);
  expect(config?.vapid).toMatchObject({ ok: true, value: { subject: VAPID_SUBJECT } });
  for (const url of [
    "https://fcm.googleapis.com/fcm/send/x",
    "https://jmt17.google.com/fcm/send/x",
    "https://updates.push.services.mozilla.com/wpush/v2/x",
    "https://web.push.apple.com/x",
    "https://wns2-par02p.notify.windows.com/w/?token=x",
  ])
    expect(judgeUrl(url, config?.hosts ?? []).ok, url).toBe(true);
  for (const url of ["https://push.apple.com/x", "https://notify.windows.com/x", "https://www.google.com/x"])
    expect(judgeUrl(url, config?.hosts ?? []).ok, url).toBe(false);
});

test("WEB_PUSH_HOSTS replaces the defaults", () => {
  const { config } = read({ VAPID_KEYS, VAPID_SUBJECT, WEB_PUSH_HOSTS: "push.example:8443;private" });
  expect(config?.hosts).toEqual([{ host: "push.example", isWildcard: false, port: 8443, isPrivate: true }]);
});

describe("an error stops this sender alone, and names the setting but not its value (R129)", () => {
  test.each<[string, string, Environment]>([
    ["VAPID_KEYS", "is no key set", { VAPID_KEYS: "MY-SECRET-VALUE", VAPID_SUBJECT }],
    [
      "VAPID_KEYS",
      "is unresolved",
      { VAPID_KEYS: "@Microsoft.KeyVault(SecretUri=MY-SECRET-VALUE)", VAPID_SUBJECT },
    ],
    ["VAPID_SUBJECT", "is missing", { VAPID_KEYS }],
    ["VAPID_SUBJECT", "has no domain", { VAPID_KEYS, VAPID_SUBJECT: "mailto:MY-SECRET-VALUE@localhost" }],
    ["VAPID_SUBJECT", "has a space", { VAPID_KEYS, VAPID_SUBJECT: "mailto: a@b.c" }],
    ["VAPID_SUBJECT", "has no scheme", { VAPID_KEYS, VAPID_SUBJECT: "a@b.c" }],
    ["VAPID_SUBJECT", "is http", { VAPID_KEYS, VAPID_SUBJECT: "http://example.com" }],
  ])("%s that %s", (setting, _what, env) => {
    const { config, errors } = read(env);
    expect(errors).toEqual([]);
    expect(config?.vapid).toMatchObject({ ok: false, error: { setting } });
    expect(JSON.stringify(config)).not.toContain("MY-SECRET-VALUE");
  });
});

test("an error in the list of hosts stops the start", () => {
  const { errors } = read({ WEB_PUSH_HOSTS: "*" });
  expect(errors.map(({ setting }) => setting)).toEqual(["WEB_PUSH_HOSTS"]);
});
