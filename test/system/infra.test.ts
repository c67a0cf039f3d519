// The Azure templates and what docs/deployment.md counts. The templates are read as text: they and the app may not drift apart. What the compiler judges is left to it
// (`.github/workflows/check.yml`).
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseConfig } from "../../shared/config/config.ts";
import { createApi } from "../helpers/api.ts";
import { createStoreProxy } from "../helpers/store.ts";

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

/** Read by the app, and not to be set in Azure, with the reason. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  ALLOW_LOOPBACK: "development only; the app refuses to start with it in a deployment",
  PAYLOAD_LOCAL_KEK: "development only; PAYLOAD_KEK stands instead",
  STORAGE_CONNECTION_STRING: "holds an account key; the account takes none",
  WEBSITE_SITE_NAME: "the platform's own",
};

function readByTheApp(): readonly string[] {
  const names = new Set<string>();
  const get = (_env: object, name: string | symbol) => {
    names.add(String(name));
    return name === "ALLOW_LOOPBACK" ? "true" : undefined; // WEBSITE_SITE_NAME is asked for only then
  };
  parseConfig(new Proxy({}, { get }));
  return [...names].toSorted();
}

/** What stands between a marker's opening brace and the brace that closes it. */
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

/** The names that an object or a type holds, not those inside its members. */
function memberNames(body: string): readonly string[] {
  const indent = /^ +(?=[A-Za-z_]\w*:)/m.exec(body)?.[0] ?? "";
  return [...body.matchAll(new RegExp(`^${indent}([A-Za-z_]\\w*):`, "gm"))].map(([, name]) => name ?? "");
}

function settingsOf(template: string): readonly string[] {
  const optional = block(template, "type Settings =");
  const fixed = block(block(template, "resource appSettings 'config' ="), "properties: union(settings,");
  return [...memberNames(optional), ...memberNames(fixed)].toSorted();
}

const expected = [...readByTheApp().filter((name) => !(name in LEFT_OUT)), ...PLATFORM].toSorted();

test("the template sets every setting that the app reads but those left out for a reason, and no other", () => {
  expect(settingsOf(appTemplate)).toEqual(expected);
  expect(Object.keys(LEFT_OUT).filter((name) => !readByTheApp().includes(name))).toEqual([]);
});

test.each(expected)("a template that names %s otherwise is noticed", (name) => {
  const renamed = appTemplate.replace(new RegExp(`^( +)${name}:`, "m"), `$1${name}S:`);
  expect(settingsOf(renamed)).not.toEqual(expected);
});

test("a minimal deployment's settings start the app", () => {
  const fixed = block(block(appTemplate, "resource appSettings 'config' ="), "properties: union(settings,");
  const inAzure: Readonly<Record<string, string>> = {
    STORAGE_TABLE_ENDPOINT: "https://stabc.table.core.windows.net/",
    NOTIFICATION_HUB_CONNECTION_STRING: "Endpoint=sb://n.servicebus.windows.net/;…", // once resolved
    NOTIFICATION_HUB_NAME: "ntf-abcdefghijklm",
    PAYLOAD_KEK: "https://kv-abc.vault.azure.net/keys/payload",
    AUTH_ISSUER: "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0",
    AUTH_AUDIENCE: "00000000-0000-0000-0000-000000000000",
  };
  expect(Object.keys(inAzure).toSorted()).toEqual(
    memberNames(fixed)
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
        scope: /^ {2}scope: (\S+)$/m.exec(body)?.[1],
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
    of("storage.bicep", "account", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"), // Storage Blob Data Owner
    of("key-vault.bicep", "vault::payloadKey", "e147488a-f6f5-4113-8e2d-b22465e65bf6"), // … Crypto Service Encryption User
  ]);
  expect([...appTemplate.matchAll(/\btype: 'UserAssigned'/g)]).toHaveLength(1);
});

test("no output holds a secret, and the hub's key is read in one place alone: where it is stored", () => {
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

test("alerts go by lines that the app writes", () => {
  const source = list("shared", ".ts").map(read).join("\n");
  const alerts = read("infra/modules/alerts.bicep");
  const events = [...alerts.matchAll(/event (?:==|in) \(?("[\w", ]+")/g)].flatMap(([, names = ""]) =>
    [...names.matchAll(/"(\w+)"/g)].map(([, name]) => name ?? ""),
  );
  expect([...new Set(events)].toSorted()).toEqual([
    "certificate_checked",
    "certificate_unreadable",
    "expired_dropped",
    "payload_unreadable",
    "push_given_up",
    "pushes_redelivered",
    "row_damaged",
    "task_given_up",
  ]);
  expect(
    events.filter((event) => !new RegExp(`log\\.(?:info|warn|error)\\("${event}"`).test(source)),
  ).toEqual([]);
  expect(alerts).toContain('tostring(line.outcome) == "credentials"');
  expect(source).toContain('{ kind: "credentials"');
  // What is compared has to stand on that very line.
  const compared = [...alerts.matchAll(/event == "(\w+)" and (.*)'/g)].flatMap(([, event = "", rest = ""]) =>
    [...rest.matchAll(/tolong\(line\.(\w+)\)/g)].map(([, field = ""]) => [event, field] as const),
  );
  expect(compared).toEqual([
    ["pushes_redelivered", "oldestSeconds"],
    ["pushes_redelivered", "open"],
    ["certificate_checked", "daysLeft"],
  ]);
  for (const [event, field] of compared)
    expect(source).toMatch(new RegExp(`log\\.info\\("${event}", \\{([^}]*,)? ${field}[,: ]`));
  const [, most] = /MAX_COUNTED_ROWS = (\d+);/.exec(source) ?? [];
  expect(alerts).toContain(`tolong(line.open) >= ${most})`);
});

test("docs/deployment.md tells of every alert, and of no other", () => {
  const alerts = read("infra/modules/alerts.bicep");
  const namesIn = (array: string, prefix = "") =>
    [...(alerts.split(`var ${array} = [`)[1]?.split("\n]")[0] ?? "").matchAll(/name: '([\w-]+)'/g)].map(
      ([, name = ""]) => prefix + name,
    );
  const table = /\| alert .*?\n\n/s.exec(read("docs/deployment.md"))?.[0] ?? "";
  const rows = table.split("\n").slice(2);
  const told = rows.flatMap((row) =>
    [...(row.split("|")[1] ?? "").matchAll(/`([\w-]+)`/g)].map(([, name = ""]) => name),
  );
  expect(told.toSorted()).toEqual([...namesIn("logAlerts"), ...namesIn("hubAlerts", "hub-")].toSorted());
  const bounds = [
    ...read("infra/main.bicep").matchAll(/^param (oldestPush\w+|certificate\w+) int = (\d+)$/gm),
  ];
  expect(bounds).toHaveLength(2);
  for (const [, name = "", value = ""] of bounds) expect(table).toContain(` ${value} (\`${name}\`)`);
});

test("sampling leaves alone what alerts and audits go by", () => {
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

test("a timer's pass ends by itself, before the host would end it and its instance", () => {
  const [, hours, minutes, seconds] =
    /"functionTimeout": "(\d\d):(\d\d):(\d\d)"/.exec(read("host.json")) ?? [];
  const hostMs = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
  const passes = list("functions", ".ts").flatMap((file) =>
    [...read(file).matchAll(/PASS_TIMEOUT_MS = ([\d_]+);/g)].map(([, ms = ""]) =>
      Number(ms.replaceAll("_", "")),
    ),
  );
  expect(passes).toHaveLength(2);
  // Half a minute for what a pass still writes when it is told to end.
  for (const ms of passes) expect(ms + 30_000).toBeLessThan(hostMs);
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

test("what docs/deployment.md counts of table calls is what is called", async () => {
  const rows = read("docs/deployment.md").matchAll(/^\| (?:– )?([^|]+?) +\| \+?(\d+) +\|/gm);
  const told = new Map([...rows].map(([, what = "", calls]) => [what, Number(calls)]));
  const proxy = await createStoreProxy();
  const api = await createApi("in process", {
    storageConnectionString: proxy.connectionString,
    standsStill: true,
  });
  const counted = new Map<string, number>();
  const count = async <T>(work: () => Promise<T>, what?: string, without = 0): Promise<T> => {
    const before = proxy.requests.length;
    const result = await work();
    if (what !== undefined) counted.set(what, proxy.requests.length - before - without);
    return result;
  };
  const register = (user: string) =>
    api.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
  const send = (...to: readonly string[]) => api.send({ to, payload: 1 });
  const sendKeyed = (to: string) =>
    api.send({ to, payload: 1 }, { "idempotency-key": randomBytes(8).toString("hex") });
  const dropExpired = () => api.runTimer("dropExpired");
  const redeliver = () => api.runTimer("redeliverPushes");
  const [ofSend, ofRedeliver, ofDropExpired, ofNewDay] = [5, 4, 6, 6];

  await count(dropExpired, "the very first, which makes 31 days");
  await count(dropExpired, "`dropExpired`, hourly");
  await register("warm"); // makes tables and the root key
  await count(() => register("ada"), "registering a new device");
  await count(() => register("ada"), "renewing one");
  await send("ada"); // the day's key
  await count(() => send("ada"), "to a device registered less than two minutes ago", ofSend);
  for (const name of ["one", "two"])
    await api.as("duo", "PUT", `/api/installations/${name}`, { platform: "fcmv1", pushChannel: name });
  await count(() => send("duo"), "each further device", ofSend);
  api.advance(300);
  await dropExpired(); // it may be the next day by now
  await send("ada");
  const sent = await count(() => send("ada"), "a send to one recipient, who has a device");
  expect(sent.json()).toMatchObject({ push: "accepted" });
  await count(() => send("nobody"), "to a recipient without devices");
  await count(() => send("ada", "warm"), "each further recipient, with a device", ofSend);
  const path = `/api/notifications/${String(sent.json()["id"])}`;
  await count(() => api.as("ada", "GET", path), "the first fetch");
  await count(() => api.as("ada", "GET", path), "a later fetch of the same");
  await count(() => api.as("ada", "GET", "/api/notifications"), "a page of the list");
  await count(() => api.as("ada", "PUT", `${path}/read`), "marking one read");
  const receipts = (...to: readonly string[]) =>
    api.post("/api/receipts", { id: String(sent.json()["id"]), to });
  await count(() => receipts("ada"), "receipts of one recipient");
  await count(() => receipts("ada", "warm"), "each further receipt", 2);
  await count(() => api.as("ada", "DELETE", path), "deleting one");

  await count(redeliver, "`redeliverPushes`, every minute, with nothing to do");
  api.hub.fail({ on: "send", answer: { status: 503 } });
  const pending = await count(() => send("ada"), "that the hub does not take (202)", ofSend);
  expect(pending.status).toBe(202);
  api.advance(60);
  await count(redeliver, "each push that it makes", ofRedeliver);
  await send("ada");
  api.advance(60);
  const erasing = async () => {
    await api.post("/api/recipients/erase", { to: ["eve"] });
    api.advance(60);
    await redeliver();
  };
  await register("eve");
  api.advance(300);
  await send("eve");
  api.advance(60);
  await count(erasing, "erasing a recipient with one notification and one device", ofRedeliver);
  expect(api.lines.findLast((line) => line.includes('"recipients_erased"'))).toContain('"notifications":1');

  await count(() => api.call("GET", "/api/health"), "health, at most once in 10 s");
  await count(() => api.as("ada", "DELETE", "/api/installations/phone"), "removing one");
  await dropExpired(); // as above
  api.advance(86_400);
  await count(dropExpired, "once a day, for the day that is over and the one that is new", ofDropExpired);
  await send("warm"); // the day's key
  await sendKeyed("warm"); // makes the table
  await count(() => sendKeyed("warm"), "with an `Idempotency-Key`", ofSend);
  api.advance(1);
  await dropExpired();
  api.advance(86_400);
  const butOneKey = ofDropExpired + ofNewDay + 1;
  await count(dropExpired, "each `Idempotency-Key` a day later, each failed push a week later", butOneKey);
  await api.close();
  await proxy.close();

  const untold = [...counted].filter(([what, calls]) => told.get(what) !== calls);
  expect(untold.map(([what, calls]) => ({ what, calls, told: told.get(what) }))).toEqual([]);
  expect(counted.size).toBe(25);
  expect(counted.get("a send to one recipient, who has a device")).toBe(ofSend);
  expect(counted.get("`redeliverPushes`, every minute, with nothing to do")).toBe(ofRedeliver);
  expect(counted.get("`dropExpired`, hourly")).toBe(ofDropExpired);
  expect(counted.get("once a day, for the day that is over and the one that is new")).toBe(ofNewDay);
});
