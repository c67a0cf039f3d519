// The Azure templates, read as text, and what has to agree with them: the app's settings, its log events, host.json and
// the documents. The Bicep compiler checks the templates themselves (scripts/checkBicep.ts).
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { PASS_TIMEOUT_MS as DROP_EXPIRED_TIMEOUT_MS } from "../../functions/dropExpired.ts";
import { PASS_TIMEOUT_MS as REDELIVER_TIMEOUT_MS } from "../../functions/redeliverPushes.ts";
import { parseConfig } from "../../shared/config/config.ts";
import { MAX_COUNTED_ROWS } from "../../shared/store/outboxRows.ts";

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
const list = (folder: string, ending: string) =>
  readdirSync(new URL(`../../${folder}/`, import.meta.url), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => `${folder}/${name}`);

const templates = new Map(list("infra", ".bicep").map((name) => [name, read(name)]));
const appTemplate = read("infra/modules/function-app.bicep");

/** Read by the Functions host and the Azure SDKs, not by the app. */
const PLATFORM = [
  "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
  "APPLICATIONINSIGHTS_CONNECTION_STRING",
  "AZURE_CLIENT_ID",
  "AzureWebJobsStorage__accountName",
  "AzureWebJobsStorage__clientId",
  "AzureWebJobsStorage__credential",
];

/** Read by the app but not set in Azure, with the reason. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  ALLOW_LOOPBACK: "development only; the app refuses to start with it in a deployment",
  PAYLOAD_LOCAL_KEK: "development only; PAYLOAD_KEK replaces it",
  STORAGE_CONNECTION_STRING: "holds an account key, and the account accepts none",
  WEBSITE_SITE_NAME: "set by the platform",
};

/** Settings of single senders: read only by the parts that make these senders. */
const OF_SENDERS = /^(?:VAPID|WEB_PUSH|MPNS|EXTRA_CA)_/;

function readByTheApp(): readonly string[] {
  const names = new Set<string>();
  const get = (_env: object, name: string | symbol) => {
    names.add(String(name));
    return name === "ALLOW_LOOPBACK" ? "true" : undefined; // WEBSITE_SITE_NAME is asked for only then
  };
  parseConfig(new Proxy({}, { get }));
  return [...names].toSorted();
}

/** The text between the brace that follows a marker and the brace that closes it. */
function block(text: string, marker: string): string {
  const start = text.indexOf("{", text.indexOf(marker) + marker.length);
  if (!text.includes(marker) || start < 0) throw new Error(`no ${marker}`);
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === "{") depth++;
    if (text[i] === "}" && --depth === 0) return text.slice(start + 1, i);
  }
  throw new Error(`${marker} does not end`);
}

/** The names of an object's or a type's own members. */
function memberNames(body: string): readonly string[] {
  const indent = /^ +(?=[A-Za-z_]\w*:)/m.exec(body)?.[0] ?? "";
  return [...body.matchAll(new RegExp(`^${indent}([A-Za-z_]\\w*):`, "gm"))].map(([, name]) => name ?? "");
}

function settingsOf(template: string): readonly string[] {
  const optional = block(template, "type Settings =");
  return [...memberNames(optional), ...memberNames(fixedSettings), ...secretSettings].toSorted();
}

const fixedSettings = block(appTemplate, "properties: union(settings, secretReferences,");
const secretSettings = [...read("infra/modules/types.bicep").matchAll(/^ {2}\| '([A-Z_]+)'$/gm)].map(
  ([, name = ""]) => name,
);

test("the template sets every setting that the app reads, except those left out for a reason", () => {
  const expected = [...readByTheApp().filter((name) => !(name in LEFT_OUT)), ...PLATFORM];
  const set = settingsOf(appTemplate);
  expect(expected.filter((name) => !set.includes(name))).toEqual([]);
  expect(set.filter((name) => !expected.includes(name) && !OF_SENDERS.test(name))).toEqual([]);
  expect(Object.keys(LEFT_OUT).filter((name) => !readByTheApp().includes(name))).toEqual([]);
});

test("secrets reach the app only as references to the vault", () => {
  expect(secretSettings).toContain("VAPID_KEYS");
  const plain = memberNames(block(appTemplate, "type Settings ="));
  expect(plain.filter((name) => secretSettings.includes(name))).toEqual([]);
  expect(plain.filter((name) => /KEY(?!S?_REQUIRED)|SECRET|PASSWORD|CERTIFICATE/.test(name))).toEqual([
    "REQUIRE_IDEMPOTENCY_KEY",
    "ALERT_TITLE_LOC_KEY",
    "ALERT_BODY_LOC_KEY",
  ]);
});

test("a minimal deployment's settings start the app", () => {
  const inAzure: Readonly<Record<string, string>> = {
    STORAGE_TABLE_ENDPOINT: "https://stabc.table.core.windows.net/",
    NOTIFICATION_HUB_CONNECTION_STRING: "Endpoint=sb://n.servicebus.windows.net/;…", // once resolved
    NOTIFICATION_HUB_NAME: "ntf-abcdefghijklm",
    PAYLOAD_KEK: "https://kv-abc.vault.azure.net/keys/payload",
    AUTH_ISSUER: "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0",
    AUTH_AUDIENCE: "00000000-0000-0000-0000-000000000000",
  };
  expect(Object.keys(inAzure).toSorted()).toEqual(
    memberNames(fixedSettings)
      .filter((name) => !PLATFORM.includes(name))
      .toSorted(),
  );
  const env = { ...inAzure, WEBSITE_SITE_NAME: "func-abc" };
  expect(parseConfig(env)).toMatchObject({ ok: true });
});

const choices = [...block(appTemplate, "type Settings =").matchAll(/^ +([A-Z_]+): \((.+)\)\?$/gm)].flatMap(
  ([, setting = "", values = ""]) =>
    [...values.matchAll(/'([^']+)'/g)].map(([, value = ""]) => ({ setting, value })),
);

test.each(choices)("the app takes $value, which the template offers for $setting", ({ setting, value }) => {
  const config = parseConfig({ [setting]: value });
  expect(config.ok ? [] : config.error.filter((fault) => fault.setting === setting)).toEqual([]);
});

test("the app gets no setting that Flex Consumption refuses, and no secret in plain text", () => {
  const fixed = block(appTemplate, "resource appSettings 'config' =");
  expect(fixed).not.toMatch(/FUNCTIONS_WORKER|FUNCTIONS_EXTENSION|WEBSITE_|SCM_|ORYX|\bTZ:/);
  expect(fixed).not.toMatch(/listKeys|AccountKey|SharedAccessKey/);
  expect(fixed).toContain("NOTIFICATION_HUB_CONNECTION_STRING: '@Microsoft.KeyVault(SecretUri=${");
  expect(fixed).toContain("PAYLOAD_KEK: vault::payloadKey.properties.keyUri\n"); // without a version
});

test("the app's identity has exactly these roles, each where it is needed and nowhere wider", () => {
  const roles = [...templates].flatMap(([file, text]) =>
    [...text.matchAll(/^resource (\w+) 'Microsoft\.Authorization\/(\w+)@/gm)].map(([marker, , type]) => {
      const body = block(text, marker);
      const [, variable = ""] = /roleDefinitionId: .*, (\w+)\)/.exec(body) ?? [];
      return {
        file: file.replace("infra/modules/", ""),
        type,
        scope: /^ +scope: (\S+)$/m.exec(body)?.[1],
        role: new RegExp(`^var ${variable} = '([0-9a-f-]{36})'`, "m").exec(text)?.[1],
        principal: /principalId: (\S+)/.exec(body)?.[1],
        name: /name: guid\((.+)\)/.exec(body)?.[1]?.replace(variable, "role"),
      };
    }),
  );
  const of = (file: string, scope: string, role: string) => ({
    file,
    type: "roleAssignments",
    scope,
    role,
    principal: "identity.properties.principalId",
    name: `${scope}.id, identity.id, role`,
  });
  expect(roles.toSorted((a, b) => (a.role ?? "").localeCompare(b.role ?? ""))).toEqual([
    of("storage.bicep", "account", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"), // Storage Table Data Contributor
    of("monitoring.bicep", "insights", "3913510d-42f4-4e42-8a64-420c390055eb"), // Monitoring Metrics Publisher
    of("key-vault.bicep", "vault::hubConnection", "4633458b-17de-408a-b874-0445c86b69e6"), // Key Vault Secrets User
    of("key-vault.bicep", "senderSecrets[i]", "4633458b-17de-408a-b874-0445c86b69e6"),
    of("storage.bicep", "account", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"), // Storage Blob Data Owner
    of("key-vault.bicep", "vault::payloadKey", "e147488a-f6f5-4113-8e2d-b22465e65bf6"), // … Crypto Service Encryption User
  ]);
  expect([...appTemplate.matchAll(/\btype: 'UserAssigned'/g)]).toHaveLength(1);
});

test("no output holds a secret, and the hub's key is read only where it is stored", () => {
  const outputs = [...templates.values()].flatMap((text) => text.match(/^output .*$/gm) ?? []);
  expect(outputs.length).toBeGreaterThan(0);
  const secure = [...templates.values()].flatMap((text) =>
    [...text.matchAll(/@secure\(\)\nparam (\w+)/g)].map(([, name]) => name ?? ""),
  );
  expect(new Set(secure)).toEqual(new Set(["apns", "fcmV1", "wns", "browser", "adm", "xiaomi", "mpns"]));
  const secret = new RegExp(
    `\\b(?:${secure.join("|")})\\b|list\\w*\\(|connectionString|\\bkeys?\\(|secret`,
    "i",
  );
  expect(outputs.filter((line) => secret.test(line))).toEqual([]);
  const listed = [...templates].flatMap(([file, text]) =>
    (text.match(/.*\blist\w*\(.*/g) ?? []).map((line) => [file, line.trim()]),
  );
  expect(listed).toEqual([
    ["infra/modules/key-vault.bicep", "value: namespace::hub::rule.listKeys().primaryConnectionString"],
  ]);
});

test("every parameter says whether it is required, and is what it says", () => {
  const faults = [...templates].flatMap(([file, text]) =>
    [...text.matchAll(/((?:^@.*\n)*)^param (\w+) (.*)$/gm)]
      .filter(([, decorators = "", , rest = ""]) => {
        const isOptional = rest.includes(" = ") || rest.endsWith("?");
        return !decorators.startsWith(`@description('${isOptional ? "Optional" : "Required"}. `);
      })
      .map(([, , name]) => `${file}: ${name}`),
  );
  expect(faults).toEqual([]);
});

test("modules are files of this repository", () => {
  const paths = [...templates.values()].flatMap((text) =>
    [...text.matchAll(/^(?:module \w+|import .* from) '(.*)'/gm)].map(([, path]) => path ?? ""),
  );
  expect(paths.length).toBeGreaterThan(0);
  expect(paths.filter((path) => !/^(?:modules\/)?[a-z-]+\.bicep$/.test(path))).toEqual([]);
});

test("a parameters file gives every parameter that has no default, and no secret", () => {
  const given = read("infra/main.bicepparam");
  const required = [...read("infra/main.bicep").matchAll(/^param (\w+) (.*)$/gm)]
    .filter(([, , rest = ""]) => !rest.includes(" = ") && !rest.endsWith("?"))
    .map(([, name]) => name ?? "");
  expect(required.filter((name) => !given.includes(`\nparam ${name} = `))).toEqual([]);
  const literals = given
    .split("\n")
    .filter((line) => line.startsWith("param ") && !line.includes("readEnvironmentVariable("));
  expect(literals).toEqual([]);
});

test("docs/deployment.md explains every variable that the parameters file reads", () => {
  const variables = [...read("infra/main.bicepparam").matchAll(/readEnvironmentVariable\('(\w+)'/g)].map(
    ([, name = ""]) => name,
  );
  expect(variables.length).toBeGreaterThan(10);
  const deployment = read("docs/deployment.md");
  expect(variables.filter((name) => !deployment.includes(`| \`${name}\``))).toEqual([]);
});

test("alerts query events that the app logs", () => {
  const source = [...list("shared", ".ts"), ...list("functions", ".ts")].map(read).join("\n");
  const alerts = read("infra/modules/alerts.bicep");
  const events = [...alerts.matchAll(/event (?:==|in) \(?("[\w", ]+")/g)].flatMap(([, names = ""]) =>
    [...names.matchAll(/"(\w+)"/g)].map(([, name]) => name ?? ""),
  );
  expect(events).toContain("pushes_redelivered");
  const unknown = [...new Set(events)].filter((event) => !source.includes(`"${event}"`));
  expect(unknown).toEqual([]);
  expect(alerts).toContain(`tolong(line.open) >= ${MAX_COUNTED_ROWS})`);
});

test("log alerts use only windows that Azure accepts", () => {
  // The documented minutes: 5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440, 2880.
  const accepted = "PT5M PT10M PT15M PT30M PT45M PT1H PT2H PT3H PT4H PT5H PT6H P1D P2D".split(" ");
  const windows = [
    ...read("infra/main.bicep").matchAll(/^param \w+Window (.*) =/gm),
    ...read("infra/modules/alerts.bicep").matchAll(/^ +(?:window|frequency): ('.*')/gm),
  ].flatMap(([, values = ""]) => [...values.matchAll(/'(\w+)'/g)].map(([, value = ""]) => value));
  expect(windows.length).toBeGreaterThan(10);
  expect(windows.filter((window) => !accepted.includes(window))).toEqual([]);
});

test("the templates avoid what Azure is known to refuse", () => {
  expect(appTemplate).not.toContain("ftpsState"); // on newer stamps of Flex Consumption
  const network = read("infra/modules/network.bicep");
  expect(network).toContain("@batchSize(1)\nresource endpoints "); // two changes of one storage account at once
  const hub = read("infra/modules/notification-hub.bicep");
  expect(hub).toContain("@onlyIfNotExists()\nresource namespace "); // updates of a namespace
  expect(read("infra/modules/alerts.bicep")).toContain("skipQueryValidation: true"); // queries over missing tables
});

test("docs/deployment.md describes every alert, and no other", () => {
  const alerts = read("infra/modules/alerts.bicep");
  const namesIn = (array: string, prefix = "") =>
    [...(alerts.split(`var ${array} = [`)[1]?.split("\n]")[0] ?? "").matchAll(/name: '([\w-]+)'/g)].map(
      ([, name = ""]) => prefix + name,
    );
  const table = /\| alert .*?\n\n/s.exec(read("docs/deployment.md"))?.[0] ?? "";
  const rows = table.split("\n").slice(2);
  const described = rows.flatMap((row) =>
    [...(row.split("|")[1] ?? "").matchAll(/`([\w-]+)`/g)].map(([, name = ""]) => name),
  );
  expect(described.toSorted()).toEqual([...namesIn("logAlerts"), ...namesIn("hubAlerts", "hub-")].toSorted());
  const bounds = [
    ...read("infra/main.bicep").matchAll(/^param (oldestPush\w+|certificate\w+) int = (\d+)$/gm),
  ];
  expect(bounds).toHaveLength(2);
  for (const [, name = "", value = ""] of bounds) expect(table).toContain(` ${value} (\`${name}\`)`);
});

test("sampling excludes what alerts and audits query", () => {
  const host = JSON.parse(read("host.json")) as {
    readonly extensions: { readonly http: { readonly routePrefix: string } };
    readonly logging: {
      readonly applicationInsights: { readonly samplingSettings: { readonly excludedTypes: string } };
    };
  };
  const kept = host.logging.applicationInsights.samplingSettings.excludedTypes.split(";");
  expect(kept).toEqual(expect.arrayContaining(["Request", "Exception", "Trace"]));
  expect(read("infra/main.bicep")).toContain(`/${host.extensions.http.routePrefix}'`);
});

test("a timer's pass ends before the host would end it and its instance", () => {
  const { functionTimeout } = JSON.parse(read("host.json")) as { readonly functionTimeout: string };
  const [hours = 0, minutes = 0, seconds = 0] = functionTimeout.split(":").map(Number);
  const hostMs = ((hours * 60 + minutes) * 60 + seconds) * 1000;
  // Half a minute for what a pass still writes after its time limit.
  expect(DROP_EXPIRED_TIMEOUT_MS + 30_000).toBeLessThan(hostMs);
  expect(REDELIVER_TIMEOUT_MS + 30_000).toBeLessThan(hostMs);
});

test("Azure, the package and the tools agree on Node's version, the service's name and the package's folder", () => {
  const manifest = JSON.parse(read("package.json")) as {
    readonly main: string;
    readonly scripts: Readonly<Record<string, string>>;
    readonly devDependencies: Readonly<Record<string, string>>;
  };
  const version = /runtime: \{ name: 'node', version: '(\d+)' \}/.exec(appTemplate)?.[1];
  expect(manifest.devDependencies["node"]).toMatch(new RegExp(`^${version}\\.`));
  expect(read(".github/workflows/check.yml")).toContain(`"${version}"`);

  const azd = read("azure.yaml");
  const service = /^services:\n {2}(\w+):/m.exec(azd)?.[1];
  expect(appTemplate).toContain(`'azd-service-name': '${service}'`);
  expect(azd).toMatch(/^ {4}host: function$/m);
  expect(azd).toMatch(/^ {4}remoteBuild: false$/m);
  expect(azd).toContain("npm run package");
  expect(manifest.scripts).toHaveProperty("package");
  const folder = /^ {4}project: (\S+)$/m.exec(azd)?.[1];
  expect(read("scripts/package.ts")).toContain(`"${folder}"`);
  // What `func azure functionapp publish` sends from the root.
  expect(read(".funcignore").split("\n")).toEqual(
    expect.arrayContaining(["*", "!host.json", "!package.json", `!${manifest.main.split("/")[0]}/**`]),
  );
});
