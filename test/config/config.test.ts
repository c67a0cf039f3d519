// The settings: every default, every refusal, and that no error holds a value.
import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { createClock } from "../../shared/base/clock.ts";
import { isLoopback } from "../../shared/base/url.ts";
import { parseConfig, toConfigErrorText } from "../../shared/config/config.ts";
import type { Environment } from "../../shared/config/settingsReader.ts";
import { createHubSender } from "../../shared/push/hub.ts";
import { Secret } from "../../shared/base/secret.ts";
import { createTables } from "../../shared/store/table.ts";
import { silentLog } from "../helpers/store.ts";

const kek = randomBytes(32).toString("base64");
const required = {
  STORAGE_CONNECTION_STRING:
    "DefaultEndpointsProtocol=https;AccountName=account;AccountKey=a2V5;EndpointSuffix=core.windows.net",
  NOTIFICATION_HUB_CONNECTION_STRING:
    "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=rule;SharedAccessKey=a2V5",
  NOTIFICATION_HUB_NAME: "hub",
  AUTH_ISSUER: "https://login.microsoftonline.com/8a7b0000-0000-4000-8000-000000000000/v2.0",
  AUTH_AUDIENCE: "api://secure-push",
  PAYLOAD_LOCAL_KEK: kek,
};

function parse(env: Environment) {
  const parsed = parseConfig({ ...required, ...env });
  if (!parsed.ok) throw new Error(toConfigErrorText(parsed.error));
  return parsed.value;
}

function errorsOf(env: Environment): readonly string[] {
  const parsed = parseConfig({ ...required, ...env });
  return parsed.ok ? [] : parsed.error.map(({ setting }) => setting);
}

describe("defaults", () => {
  test("of everything that need not be set", () => {
    const config = parse({});
    expect(config).toMatchObject({
      storage: { tablePrefix: "" },
      hub: { name: "hub" },
      tokens: {
        issuers: [required.AUTH_ISSUER],
        audiences: [required.AUTH_AUDIENCE],
        algorithms: ["RS256"],
        tokenType: "any",
        clockToleranceSeconds: 60,
        scope: "Notifications.Read",
      },
      senders: { auth: "functionKey", role: "Notifications.Send" },
      limits: {
        defaultTtlSeconds: 604_800,
        maxPayloadBytes: 262_144,
        maxInstallations: 50,
        installationTtlDays: 90,
      },
      alertText: { defaultDisplay: "alert" },
      allowLoopback: false,
    });
    for (const absent of ["scopeClaim", "userClaim"]) expect(config.tokens).not.toHaveProperty(absent);
    expect(config.senders).not.toHaveProperty("clientIds");
    expect(config.limits).not.toHaveProperty("userIdPattern");
    expect(config.storage).not.toHaveProperty("endpoint");
  });

  test.each(["", " ", "\n"])("a setting of %j is one that is not set", (empty) => {
    const optional = [
      "AUTH_SCOPE",
      "AUTH_ALGORITHMS",
      "DEFAULT_TTL",
      "TABLE_PREFIX",
      "ALERT_TITLE",
      "SEND_AUTH",
    ];
    expect(inspect(parse(Object.fromEntries(optional.map((name) => [name, empty]))), { depth: 9 })).toBe(
      inspect(parse({}), { depth: 9 }),
    );
    for (const name of Object.keys(required)) expect(errorsOf({ [name]: empty })).toHaveLength(1);
  });
});

describe("what is set is taken", () => {
  test("lists, with spaces round their items", () => {
    expect(
      parse({
        AUTH_ISSUER: " https://a.example , https://b.example/x ",
        AUTH_AUDIENCE: "api://a,8a7b",
        AUTH_ALGORITHMS: "ES256, EdDSA",
        SENDER_CLIENT_IDS: "one,two",
      }),
    ).toMatchObject({
      tokens: {
        issuers: ["https://a.example", "https://b.example/x"],
        audiences: ["api://a", "8a7b"],
        algorithms: ["ES256", "EdDSA"],
      },
      senders: { clientIds: ["one", "two"] },
    });
  });

  test("the rest", () => {
    const config = parse({
      AUTH_SCOPE: "Read.All",
      AUTH_SCOPE_CLAIM: "scp",
      AUTH_USER_CLAIM: "tid.oid",
      AUTH_ISSUER: "https://issuer.example",
      AUTH_TOKEN_TYPE: "at+jwt",
      AUTH_CLOCK_TOLERANCE: "0",
      SEND_AUTH: "token",
      SENDER_ROLE: "Push",
      DEFAULT_TTL: "60",
      MAX_PAYLOAD_BYTES: "921600",
      MAX_INSTALLATIONS: "1",
      INSTALLATION_TTL: "3650",
      TABLE_PREFIX: "t".padEnd(40, "0"),
      DEFAULT_DISPLAY: "silent",
      ALERT_TITLE: "x".repeat(200),
      ALERT_BODY_LOC_KEY: "BODY",
    });
    expect(config).toMatchObject({
      storage: { tablePrefix: "t".padEnd(40, "0") },
      tokens: {
        scope: "Read.All",
        scopeClaim: "scp",
        userClaim: "tid.oid",
        tokenType: "at+jwt",
        clockToleranceSeconds: 0,
      },
      senders: { auth: "token", role: "Push" },
      limits: {
        defaultTtlSeconds: 60,
        maxPayloadBytes: 921_600,
        maxInstallations: 1,
        installationTtlDays: 3650,
      },
      alertText: { defaultDisplay: "silent", title: { text: "x".repeat(200) }, body: { locKey: "BODY" } },
    });
  });

  test("key-encryption keys, newest first", () => {
    const keys = [randomBytes(32), randomBytes(32)];
    const { kek: read } = parse({ PAYLOAD_LOCAL_KEK: keys.map((key) => key.toString("base64")).join(", ") });
    expect("localKeks" in read && read.localKeks.map((key) => Buffer.from(key.reveal()))).toEqual(keys);
  });

  test("a key-encryption key in a vault, in place of local ones", () => {
    const keyUrl = "https://v.vault.azure.net/keys/payload-kek";
    expect(parse({ PAYLOAD_KEK: keyUrl, PAYLOAD_LOCAL_KEK: "" }).kek).toEqual({
      vaultKey: { vaultUrl: "https://v.vault.azure.net", name: "payload-kek" },
    });
  });

  test("when days are dropped", () => {
    expect(parse({}).schedules.dropExpired).toBe("0 17 * * * *");
    expect(parse({ DROP_EXPIRED_SCHEDULE: "0 */5 * * * *" }).schedules.dropExpired).toBe("0 */5 * * * *");
  });

  test.each([
    required.STORAGE_CONNECTION_STRING,
    ` ${required.STORAGE_CONNECTION_STRING}; `,
    required.STORAGE_CONNECTION_STRING.toLowerCase(),
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5;TableEndpoint=https://a.example/",
  ])("the connection string %j, and the SDK takes it too", (text) => {
    const { storage } = parse({ STORAGE_CONNECTION_STRING: text });
    expect(() =>
      createTables({ storage, clock: createClock(silentLog), allowLoopback: false }),
    ).not.toThrow();
  });

  test("the endpoint of storage, in the place of a connection string", () => {
    const endpoint = "https://account.table.core.windows.net";
    const config = parse({ STORAGE_CONNECTION_STRING: undefined, STORAGE_TABLE_ENDPOINT: endpoint });
    expect(config.storage).toEqual({ tablePrefix: "", endpoint });
  });

  test("a pattern holds for the whole of a user id", () => {
    const pattern = parse({ USER_ID_PATTERN: "[a-z]+|x1" }).limits.userIdPattern;
    const found = ["abc", "x1", "abc1", "1abc", "x11", "abc\n", "", "ABC"].filter((id) => pattern?.test(id));
    expect(found).toEqual(["abc", "x1"]);
  });
});

describe("R154: what is missing stops the start", () => {
  test.each([
    ["STORAGE_CONNECTION_STRING", "STORAGE_TABLE_ENDPOINT"],
    ["NOTIFICATION_HUB_CONNECTION_STRING", "NOTIFICATION_HUB_CONNECTION_STRING"],
    ["NOTIFICATION_HUB_NAME", "NOTIFICATION_HUB_NAME"],
    ["AUTH_ISSUER", "AUTH_ISSUER"],
    ["AUTH_AUDIENCE", "AUTH_AUDIENCE"],
    ["PAYLOAD_LOCAL_KEK", "PAYLOAD_KEK"],
  ])("%s", (name, told) => {
    expect(errorsOf({ [name]: undefined })).toEqual([told]);
  });

  test("all of it is told at once, one line each", () => {
    const parsed = parseConfig({});
    expect(parsed.ok).toBe(false);
    const text = parsed.ok ? "" : toConfigErrorText(parsed.error);
    expect(text.split("\n")).toHaveLength(1 + Object.keys(required).length);
    for (const line of text.split("\n").slice(1)) expect(line).toMatch(/^ {2}[A-Z_]+: is missing/);
  });
});

// Every value holds the marker, in the form that its setting could take: no error may hold it.
const marker = "Mark3rMark3rMark3r";
const https = "DefaultEndpointsProtocol=https;EndpointSuffix=core.windows.net";
const refused: readonly (readonly [string, string])[] = [
  ["ALLOW_LOOPBACK", marker],
  ["AUTH_ISSUER", marker],
  ["AUTH_ISSUER", `https://${marker}.example/{tenantid}/v2.0`],
  ["AUTH_ISSUER", `https://*.${marker}.example`],
  ["AUTH_ISSUER", `https://a.example,http://${marker}.example`],
  ["AUTH_ISSUER", `https://a.example,,https://${marker}.example`],
  ["AUTH_ISSUER", `ftp://${marker}.example`],
  ["AUTH_ISSUER", `http://${marker}.example`],
  ["AUTH_ISSUER", `http://127.0.0.1:1/${marker}`],
  ["AUTH_ISSUER", `http://localhost/${marker}`],
  ["AUTH_ISSUER", `http://127.0.0.1.${marker}.example/`],
  ["AUTH_ISSUER", `https://a.example/?${marker}`],
  ["AUTH_ISSUER", `https://a.example/#${marker}`],
  ["AUTH_ISSUER", `https://${marker}@a.example/`],
  ["AUTH_ISSUER", `https://:${marker}@a.example/`],
  ["AUTH_AUDIENCE", `*,${marker}`],
  ["AUTH_AUDIENCE", `${marker} x`],
  ["AUTH_AUDIENCE", `${marker},`],
  ["AUTH_AUDIENCE", `é${marker}`],
  ["AUTH_ALGORITHMS", `none,${marker}`],
  ["AUTH_ALGORITHMS", `HS256,${marker}`],
  ["AUTH_ALGORITHMS", `rs256,${marker}`],
  ["AUTH_TOKEN_TYPE", marker],
  ["AUTH_TOKEN_TYPE", `JWT ${marker}`],
  ["AUTH_CLOCK_TOLERANCE", `301${marker}`],
  ["AUTH_SCOPE", `a ${marker}`],
  ["AUTH_SCOPE", `"${marker}"`],
  ["AUTH_SCOPE_CLAIM", `${marker} x`],
  ["AUTH_SCOPE_CLAIM", marker.repeat(10)],
  ["AUTH_USER_CLAIM", `${marker} x`],
  ["SEND_AUTH", marker],
  ["SENDER_ROLE", `${marker} x`],
  ["SENDER_CLIENT_IDS", `${marker},`],
  ["SENDER_CLIENT_IDS", `a b,${marker}`],
  ["PAYLOAD_KEK", marker],
  ["PAYLOAD_KEK", `http://${marker}.vault.azure.net/keys/k`],
  ["PAYLOAD_KEK", `https://${marker}.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef`], // a version
  ["PAYLOAD_KEK", `https://${marker}.vault.azure.net/secrets/k`],
  ["PAYLOAD_KEK", `https://${marker}.vault.azure.net/keys/k?x=${marker}`],
  ["PAYLOAD_KEK", `https://${marker}@v.vault.azure.net/keys/k`],
  ["DROP_EXPIRED_SCHEDULE", marker],
  ["DROP_EXPIRED_SCHEDULE", `0 0 * * ${marker}`],
  ["PAYLOAD_KEK", `@Microsoft.KeyVault(${marker})`],
  ["PAYLOAD_LOCAL_KEK", marker],
  ["PAYLOAD_LOCAL_KEK", `${kek},${marker}`],
  ["PAYLOAD_LOCAL_KEK", `${kek.slice(0, -1)},${marker}`],
  ["PAYLOAD_LOCAL_KEK", Buffer.from(marker.padEnd(32)).toString("base64url")], // base64, not base64url
  ["PAYLOAD_LOCAL_KEK", Buffer.from(marker.padEnd(31)).toString("base64")],
  ["PAYLOAD_LOCAL_KEK", Buffer.from(marker.padEnd(33)).toString("base64")],
  ["PAYLOAD_LOCAL_KEK", Buffer.from(marker.padEnd(32)).toString("hex")],
  ["DEFAULT_TTL", `60${marker}`],
  ["MAX_PAYLOAD_BYTES", marker],
  ["MAX_INSTALLATIONS", marker],
  ["INSTALLATION_TTL", marker],
  ["USER_ID_PATTERN", `(${marker}`],
  ["USER_ID_PATTERN", `${marker})|(?:x`], // would be no pattern of the whole id
  ["TABLE_PREFIX", `1${marker}`],
  ["TABLE_PREFIX", `${marker}-`],
  ["TABLE_PREFIX", marker.repeat(3)],
  ["DEFAULT_DISPLAY", marker],
  ["ALERT_TITLE", marker.repeat(20)],
  ["ALERT_BODY", marker.repeat(20)],
  ["ALERT_TITLE_LOC_KEY", marker.repeat(20)],
  ["NOTIFICATION_HUB_NAME", `${marker}/x`],
  ["NOTIFICATION_HUB_NAME", `${marker}?x`],
  ["NOTIFICATION_HUB_NAME", `../${marker}`],
  ["NOTIFICATION_HUB_NAME", marker.repeat(20)],
  ["STORAGE_CONNECTION_STRING", marker],
  ["STORAGE_CONNECTION_STRING", `${https};AccountName=${marker}`], // no key
  ["STORAGE_CONNECTION_STRING", `${https};AccountKey=${marker}`], // no name
  ["STORAGE_CONNECTION_STRING", `AccountName=a;AccountKey=${marker}`], // no protocol: the SDK asks for one
  ["STORAGE_CONNECTION_STRING", `DefaultEndpointsProtocol=https;AccountName=a;AccountKey=${marker}`], // no suffix
  ["STORAGE_CONNECTION_STRING", `${https};AccountName=a;AccountKey=`.concat(`;x=${marker}`)],
  ...["http", "HTTP", " http ", "ftp"].map(
    (protocol) =>
      [
        "STORAGE_CONNECTION_STRING",
        `DefaultEndpointsProtocol=${protocol};AccountName=a;AccountKey=${marker};EndpointSuffix=core.windows.net`,
      ] as const,
  ),
  ["STORAGE_CONNECTION_STRING", `${https};AccountName=a;AccountKey=${marker};TableEndpoint=http://a.example`],
  ["STORAGE_CONNECTION_STRING", `${https};AccountName=a;AccountKey=${marker};tableendpoint=http://a.example`],
  [
    "STORAGE_CONNECTION_STRING",
    `${https};AccountName=a;AccountKey=${marker};TableEndpoint=http://127.0.0.1:1`,
  ],
  ["STORAGE_CONNECTION_STRING", `${https};AccountName=a;AccountKey=${marker};TableEndpoint=${marker}`],
  ["STORAGE_CONNECTION_STRING", `TableEndpoint=https://a.table.core.windows.net;x=${marker}`], // no signature
  ["STORAGE_CONNECTION_STRING", `TableEndpoint=http://a.example;SharedAccessSignature=${marker}`],
  [
    "STORAGE_CONNECTION_STRING",
    `TableEndpoint=https://a.table.core.windows.net/;SharedAccessSignature=${marker}`,
  ],
  ["STORAGE_CONNECTION_STRING", `UseDevelopmentStorage=true;x=${marker}`],
  // The SDK would leave account and key aside and speak plain http to 127.0.0.1.
  ["STORAGE_CONNECTION_STRING", `${https};AccountName=a;AccountKey=${marker};usedevelopmentstorage=TRUE`],
  [
    "STORAGE_CONNECTION_STRING",
    `TableEndpoint=http://a.example;${required.STORAGE_CONNECTION_STRING};x=${marker}`,
  ],
];

describe("R154: what is unsafe or malformed stops the start, and no error holds the value", () => {
  test.each(refused)("%s: %s", (name, value) => {
    const parsed = parseConfig({ ...required, [name]: value });
    if (parsed.ok) throw new Error("it was taken");
    expect(parsed.error.map(({ setting }) => setting)).toEqual([name]);
    for (const text of [toConfigErrorText(parsed.error), inspect(parsed, { depth: 9, showHidden: true })])
      expect(text.toLowerCase()).not.toContain(marker.toLowerCase());
  });

  test.each([
    `http://${marker}.table.core.windows.net`,
    `http://127.0.0.1:1/${marker}`,
    marker,
    `https://a.table.core.windows.net/?sig=${marker}`,
    `https://${marker}@a.table.core.windows.net`,
    `https://:${marker}@a.table.core.windows.net`,
    `https://a.table.core.windows.net/#${marker}`,
  ])("STORAGE_TABLE_ENDPOINT: %s", (endpoint) => {
    const env = { ...required, STORAGE_CONNECTION_STRING: undefined, STORAGE_TABLE_ENDPOINT: endpoint };
    for (const allow of ["false", "true"]) {
      const parsed = parseConfig({ ...env, ALLOW_LOOPBACK: allow });
      if (parsed.ok) throw new Error("it was taken");
      expect(parsed.error.map(({ setting }) => setting)).toEqual(["STORAGE_TABLE_ENDPOINT"]);
      expect(toConfigErrorText(parsed.error)).not.toContain(marker);
    }
  });

  test.each([
    ["AUTH_CLOCK_TOLERANCE", "-1", "301", "1.5", "1e2", "0x10", "６０", "1_0", "60s", "99999999999"],
    ["DEFAULT_TTL", "59", "2419201", "0", "-60"],
    ["MAX_PAYLOAD_BYTES", "0", "921601", "256KiB"],
    ["MAX_INSTALLATIONS", "0", "1001"],
    ["INSTALLATION_TTL", "0", "3651", "90d"],
    ["AUTH_USER_CLAIM", "upn", "email", "preferred_username", "name", "unique_name"], // R22
    ["SEND_AUTH", "Token", "both", "functionKey,token"],
    ["ALLOW_LOOPBACK", "1", "yes", "TRUE"],
  ])("%s: %s and others", (name, ...values) => {
    for (const value of values) expect(errorsOf({ [name]: value }), value).toEqual([name]);
  });

  test("what excludes one another", () => {
    expect(errorsOf({ STORAGE_TABLE_ENDPOINT: "https://a.example" })).toEqual(["STORAGE_TABLE_ENDPOINT"]);
    expect(errorsOf({ ALERT_TITLE: "a", ALERT_TITLE_LOC_KEY: "b" })).toEqual(["ALERT_TITLE_LOC_KEY"]);
    expect(errorsOf({ ALERT_BODY: "a", ALERT_BODY_LOC_KEY: "b" })).toEqual(["ALERT_BODY_LOC_KEY"]);
  });

  const names = [...new Set([...refused.map(([name]) => name), ...Object.keys(required)])];

  test.each(names)("%s as a Key Vault reference that was not resolved", (name) => {
    const value = `@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/${marker})`;
    const parsed = parseConfig({ ...required, [name]: value });
    if (parsed.ok) throw new Error("it was taken");
    expect(parsed.error.map(({ setting }) => setting)).toEqual([name]);
    expect(toConfigErrorText(parsed.error)).toContain("Key Vault");
    expect(toConfigErrorText(parsed.error)).not.toContain(marker);
  });
});

const TENANT = "0f1e2d3c-4b5a-4697-8877-66554433aabb";

describe("R14: an issuer that no token names stops the start, and the error says the form that is wanted", () => {
  const [login, sts] = ["https://login.microsoftonline.com", "https://sts.windows.net"];
  const usual = `${login}/TENANT_ID/v2.0`;
  test.each<[string, string]>([
    [`${login}/common/v2.0`, usual],
    [`${login}/organizations/v2.0`, usual],
    [`${login}/consumers/v2.0`, usual],
    [`${login}/contoso.onmicrosoft.com/v2.0`, usual],
    [`${login}/${TENANT}/v2.0/`, usual],
    [`${login}/${TENANT}`, usual],
    [`${login}/${TENANT}/`, usual],
    [`${login}/${TENANT}/v2`, usual],
    [`${login}/${TENANT}/V2.0`, usual],
    [`${login}/${TENANT.toUpperCase()}/v2.0`, usual],
    [`${login}/${TENANT}/v2.0/.well-known/openid-configuration`, usual],
    [`${login}/${TENANT}/oauth2/v2.0/token`, usual],
    [`${login}/${TENANT}/discovery/v2.0/keys`, usual],
    [`${login}:443/${TENANT}/v2.0`, usual],
    [`HTTPS://LOGIN.microsoftonline.com/${TENANT}/v2.0`, usual],
    [login, usual],
    [`https://login.windows.net/${TENANT}/v2.0`, usual],
    [`https://login.microsoft.com/${TENANT}/v2.0`, usual],
    [`https://login.microsoftonline.us/common/v2.0`, "https://login.microsoftonline.us/TENANT_ID/v2.0"],
    [
      `https://login.partner.microsoftonline.cn/${TENANT}`,
      "https://login.partner.microsoftonline.cn/TENANT_ID/v2.0",
    ],
    [`${sts}/${TENANT}`, `${sts}/TENANT_ID/`],
    [`${sts}/${TENANT}/v2.0`, `${sts}/TENANT_ID/`],
    [`${sts}/contoso.com/`, `${sts}/TENANT_ID/`],
    [`https://contoso.ciamlogin.com/${TENANT}/v2.0`, "https://TENANT_ID.ciamlogin.com/TENANT_ID/v2.0"],
    [
      `https://${TENANT}.ciamlogin.com/contoso.onmicrosoft.com/v2.0`,
      "https://TENANT_ID.ciamlogin.com/TENANT_ID/v2.0",
    ],
    ["https://issuer.example/.well-known/openid-configuration", "not the address of its discovery document"],
  ])("%s: %s", (value, form) => {
    for (const list of [value, `https://issuer.example,${value}`]) {
      const parsed = parseConfig({ ...required, AUTH_ISSUER: list });
      if (parsed.ok) throw new Error("it was taken");
      expect(parsed.error.map(({ setting }) => setting)).toEqual(["AUTH_ISSUER"]);
      expect(toConfigErrorText(parsed.error)).toContain(form);
      expect(toConfigErrorText(parsed.error).toLowerCase()).not.toMatch(new RegExp(`${TENANT}|contoso`));
    }
  });

  test.each([
    `${login}/${TENANT}/v2.0`,
    `${sts}/${TENANT}/`,
    `https://login.microsoftonline.us/${TENANT}/v2.0`,
    `https://login.partner.microsoftonline.cn/${TENANT}/v2.0`,
    `https://sts.chinacloudapi.cn/${TENANT}/`,
    `https://${TENANT}.ciamlogin.com/${TENANT}/v2.0`,
    "https://issuer.example",
    "https://issuer.example/",
    "https://issuer.example/common/v2.0",
    "https://keycloak.example/realms/one",
    "https://login.microsoftonline.com.issuer.example/common/v2.0",
  ])("%s is taken", (issuer) => {
    expect(parse({ AUTH_ISSUER: issuer }).tokens.issuers).toEqual([issuer]);
  });

  test.each([
    ["AUTH_ALGORITHMS", "ES256", "RS256"],
    ["AUTH_ALGORITHMS", "PS256,RS512", "RS256"],
    ["AUTH_TOKEN_TYPE", "at+jwt", "any"],
    ["AUTH_SCOPE", "api://secure-push/Notifications.Read", "Notifications.Read"],
    ["AUTH_SCOPE", "https://contoso.example/Notifications.Read", "Notifications.Read"],
    ["AUTH_SCOPE", ".default", "Notifications.Read"],
  ])("%s=%s stops the start with an issuer of Entra ID alone", (setting, value, form) => {
    const parsed = parseConfig({ ...required, [setting]: value });
    if (parsed.ok) throw new Error("it was taken");
    expect(parsed.error.map((error) => error.setting)).toEqual([setting]);
    expect(toConfigErrorText(parsed.error)).toContain(form);
    expect(errorsOf({ AUTH_ISSUER: "https://issuer.example", [setting]: value })).toEqual([]);
  });
});

describe("R138: plain http to this machine", () => {
  const plain = {
    AUTH_ISSUER: "http://localhost:8080/issuer",
    STORAGE_CONNECTION_STRING:
      "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:10002/a",
  };

  test("needs ALLOW_LOOPBACK", () => {
    expect(errorsOf(plain)).toEqual(["STORAGE_CONNECTION_STRING", "AUTH_ISSUER"]);
    expect(errorsOf({ ...plain, ALLOW_LOOPBACK: "true" })).toEqual([]);
    expect(errorsOf({ STORAGE_CONNECTION_STRING: "UseDevelopmentStorage=true" })).toHaveLength(1);
    expect(
      errorsOf({ STORAGE_CONNECTION_STRING: "UseDevelopmentStorage=true", ALLOW_LOOPBACK: "true" }),
    ).toEqual([]);
  });

  test("with ALLOW_LOOPBACK is still refused to any other machine", () => {
    for (const host of [
      "example.com",
      "10.0.0.1",
      "localhost.example",
      "127.0.0.1.nip.io",
      "[::2]",
      "0.0.0.0",
    ]) {
      expect(errorsOf({ ALLOW_LOOPBACK: "true", AUTH_ISSUER: `http://${host}/` }), host).toEqual([
        "AUTH_ISSUER",
      ]);
      const storage = `AccountName=a;AccountKey=b;DefaultEndpointsProtocol=http;TableEndpoint=http://${host}/a`;
      expect(errorsOf({ ALLOW_LOOPBACK: "true", STORAGE_CONNECTION_STRING: storage }), host).toEqual([
        "STORAGE_CONNECTION_STRING",
      ]);
    }
  });

  test.each(["my-function-app", "", "x"])(
    "ALLOW_LOOPBACK is refused where WEBSITE_SITE_NAME is %j",
    (site) => {
      expect(errorsOf({ ALLOW_LOOPBACK: "true", WEBSITE_SITE_NAME: site })).toEqual(["ALLOW_LOOPBACK"]);
      expect(errorsOf({ ALLOW_LOOPBACK: "false", WEBSITE_SITE_NAME: site })).toEqual([]);
    },
  );

  test.each([
    ["http://localhost/", true],
    ["http://LOCALHOST:1/", true],
    ["http://127.0.0.1/", true],
    ["http://127.255.255.254/", true],
    ["http://127.1/", true], // the parser writes 127.0.0.1
    ["http://0x7f000001/", true],
    ["http://[::1]/", true],
    ["http://[0:0::1]/", true],
    ["http://localhost./", false],
    ["http://a.localhost/", false],
    ["http://127.0.0.1.example/", false],
    ["http://localhost@example.com/", false],
    ["http://example.com/127.0.0.1", false],
    ["http://[::ffff:127.0.0.1]/", false],
    ["http://0.0.0.0/", false],
    ["http://128.0.0.1/", false],
  ])("%s is this machine: %s", (url, expected) => {
    expect(isLoopback(new URL(url))).toBe(expected);
  });
});

describe("the hub's connection string", () => {
  const alertText = { defaultDisplay: "alert", title: { text: "t" }, body: { text: "b" } } as const;
  const create = (connectionString: string, allowLoopback = false) =>
    createHubSender({
      connectionString: new Secret(connectionString),
      hubName: "hub",
      alertText,
      allowLoopback,
      clock: createClock(silentLog),
    });
  const keys = "SharedAccessKeyName=rule;SharedAccessKey=a2V5PT0=";

  test.each([
    `Endpoint=sb://ns.servicebus.windows.net/;${keys}`,
    `Endpoint=sb://ns.servicebus.windows.net;${keys}`,
    `Endpoint=https://ns.servicebus.windows.net/;${keys}`,
    `Endpoint=sb://ns.servicebus.windows.net/;${keys};EntityPath=hub`,
    `;;Endpoint = sb://ns.servicebus.windows.net/ ;; ${keys} ;`,
    `Endpoint=sb://ns.servicebus.windows.net:8443/;${keys}`,
  ])("%s is taken", (text) => {
    expect(() => create(text)).not.toThrow();
  });

  test("plain http is taken to this machine alone, and with ALLOW_LOOPBACK alone", () => {
    const local = `Endpoint=http://127.0.0.1:1/;${keys}`;
    expect(() => create(local)).toThrow("NOTIFICATION_HUB_CONNECTION_STRING");
    expect(() => create(local, true)).not.toThrow();
    expect(() => create(`Endpoint=http://hub.example/;${keys}`, true)).toThrow("CONNECTION_STRING");
  });

  test.each([
    "",
    marker,
    `Endpoint=${marker};${keys}`,
    `Endpoint=;SharedAccessKeyName=rule;SharedAccessKey=${marker}`,
    `endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=rule;SharedAccessKey=${marker}`,
    `SharedAccessKeyName=rule;SharedAccessKey=${marker}`,
    `Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=${marker}`,
    `Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKey=${marker}`,
    `Endpoint=sb://${marker}.servicebus.windows.net/`,
    `Endpoint=SB://${marker}.servicebus.windows.net/;${keys}`,
    `Endpoint=ftp://${marker}/;${keys}`,
    `Endpoint=sb://${marker} x/;${keys}`,
    `Endpoint=sb://;SharedAccessKeyName=rule;SharedAccessKey=${marker}`,
    `Endpoint=sb://ns.servicebus.windows.net/;SharedAccessSignature=${marker}`,
    `Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=rule;SharedAccessKey=;x=${marker}`,
    `Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=;SharedAccessKey=${marker}`,
    `Endpoint=sb://ns.servicebus.windows.net/;XSharedAccessKey=${marker}`,
    `=${marker}`,
  ])("R154: %s is refused by the setting's name, and the error tells nothing of it", (text) => {
    let error: unknown;
    try {
      create(text, true);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toContain("NOTIFICATION_HUB_CONNECTION_STRING");
    expect(inspect(error, { depth: 9, showHidden: true }).replaceAll(/\n +at .*/g, "")).not.toContain(marker);
  });
});

test("R142: what was parsed does not print its secrets", () => {
  const secret = randomBytes(32).toString("base64");
  const config = parse({
    STORAGE_CONNECTION_STRING: required.STORAGE_CONNECTION_STRING.replace("a2V5", marker),
    NOTIFICATION_HUB_CONNECTION_STRING: required.NOTIFICATION_HUB_CONNECTION_STRING.replace("a2V5", marker),
    PAYLOAD_LOCAL_KEK: secret,
    MPNS_CERTIFICATE: `${marker} (a key may stand beside it)`,
    MPNS_PRIVATE_KEY_NEXT: `${marker} key`,
    MPNS_CERTIFICATE_NEXT: `${marker} next`,
    MPNS_CERTIFICATE_NEXT_PASSWORD: `${marker} password`,
    MPNS_CA: `${marker} authority`,
  });
  expect(config.mpns?.certificates.map(({ certificate }) => certificate.reveal())).toEqual([
    `${marker} (a key may stand beside it)`,
    `${marker} next`,
  ]);
  for (const text of [JSON.stringify(config), inspect(config, { depth: 9, showHidden: true })]) {
    expect(text).not.toContain(marker);
    expect(text).not.toContain(secret);
    expect(text).not.toContain(Buffer.from(secret, "base64").toString("hex").slice(0, 20));
  }
});
