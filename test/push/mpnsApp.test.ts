// MPNS in the app, from the settings to the phone: in process, and through the bundle that is deployed.
import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { type CertificateAuthority, createCertificateAuthority } from "../../local/certificateAuthority.ts";
import { createMpnsEndpoint, type MpnsEndpoint } from "../../local/mpnsEndpoint.ts";
import { createWebPushService, type WebPushService } from "../../local/webPushService.ts";
import { type Api, createApi } from "../helpers/api.ts";
import { type BundleHosts, startBundleHosts } from "../helpers/bundleHosts.ts";
import { createCalls, createSettings } from "../helpers/calls.ts";
import { issueClient, SERVICE_NAME, toPem } from "../helpers/mpns.ts";
import vector from "../vectors/clientCertificate.json" with { type: "json" };

let endpoint: MpnsEndpoint;
/** Lends its issuer, hub and tables to the others. */
let base: Api;
let endpointAheadMs = 0;
const serviceNames = [SERVICE_NAME];
beforeAll(async () => {
  base = await createApi("in process", {});
  endpoint = await createMpnsEndpoint({ serviceNames, now: () => new Date(Date.now() + endpointAheadMs) });
});
afterAll(async () => {
  await base.close();
  await endpoint.close();
});

describe("in the app", () => {
  const linesOf = async (settings: Readonly<Record<string, string>>) => {
    const api = await createApi("in process", { beside: base, settings });
    const atStart = api.lines.length;
    const failed = await api.runTimer("dropExpired").then(
      () => false,
      () => true,
    );
    await api.close();
    const toEvents = (part: readonly string[]) =>
      part
        .map((line) => JSON.parse(line) as { readonly event: string })
        .filter(({ event }) => /^(certificate|sender)_/.test(event));
    return {
      failed,
      atStart: toEvents(api.lines.slice(0, atStart)),
      all: toEvents(api.lines),
      text: api.lines.join("\n"),
    };
  };
  const settings = () => ({
    MPNS_CERTIFICATE: toPem(endpoint.client, endpoint.authority),
    MPNS_SERVICE_NAME: SERVICE_NAME,
  });

  test("the certificate is checked at start, and not again by the timer on the same day", async () => {
    const { atStart, all, text } = await linesOf(settings());
    expect(atStart).toMatchObject([{ event: "certificate_checked", setting: "MPNS_CERTIFICATE" }]);
    expect(all).toHaveLength(1);
    for (const line of toPem(endpoint.client)
      .split("\n")
      .filter((part) => part !== ""))
      expect(text).not.toContain(line);
  });

  test("the timer checks it on the next day, also while the store is unavailable", async () => {
    const nowhere = "http://127.0.0.1:1/devstoreaccount1";
    const api = await createApi("in process", {
      beside: base,
      settings: {
        ...settings(),
        STORAGE_CONNECTION_STRING: `DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;TableEndpoint=${nowhere};`,
      },
    });
    const countChecks = () => api.lines.filter((line) => line.includes('"certificate_checked"')).length;
    expect(countChecks()).toBe(1);
    api.advance(86_400);
    await expect(api.runTimer("dropExpired")).rejects.toThrow();
    expect(countChecks()).toBe(2);
    api.advance(-86_400); // the clock is the other apps' too
    await api.close();
  });

  test("nothing is said where there is none", async () => {
    expect((await linesOf({ MPNS_CERTIFICATE: " " })).all).toEqual([]);
  });

  test.each(["not a certificate", "@Microsoft.KeyVault(SecretUri=https://kv/s)"])(
    "R129: the app starts with %s in its place, and says so",
    async (text) => {
      const { failed, all, text: written } = await linesOf({ ...settings(), MPNS_CERTIFICATE: text });
      expect(failed).toBe(false);
      expect(all).toMatchObject([
        { level: "error", event: "certificate_refused", setting: "MPNS_CERTIFICATE", rule: "readable" },
        { level: "error", event: "sender_stopped", sender: "mpns", setting: "MPNS_CERTIFICATE" },
      ]);
      expect(written).not.toContain(text);
    },
  );
});

describe("a Windows Phone", () => {
  const register = (api: Api, pushChannel: string, user: string) =>
    api.as(user, "PUT", "/api/installations/phone", { platform: "mpns", pushChannel });
  const send = (api: Api, user: string) => api.send({ to: [user], payload: { text: "hello" } });
  const isReceived = (id: unknown) => endpoint.received.some(({ body }) => body === id);

  test("is registered, pushed to, and removed once its app has closed the channel (R116)", async () => {
    const api = await createApi("in process", { beside: base, settings: endpoint.settings });
    try {
      const channel = endpoint.openChannel();
      expect(await register(api, channel, "anna")).toMatchObject({ status: 201 });
      const first = (await send(api, "anna")).json();
      expect(first).toMatchObject({ push: "accepted" });
      expect(endpoint.received.at(-1)).toMatchObject({ channelUri: channel, body: first["id"] });

      endpoint.closeChannel(channel);
      expect((await send(api, "anna")).json()).toMatchObject({ push: "noDevices" });
      const before = endpoint.received.length;
      expect((await send(api, "anna")).json()).toMatchObject({ push: "noDevices" });
      expect(endpoint.received).toHaveLength(before);
    } finally {
      await api.close();
    }
  });

  test("R130: an address that MPNS_HOSTS does not allow is refused, and nothing is said of it", async () => {
    const api = await createApi("in process", { beside: base, settings: endpoint.settings });
    try {
      const answer = await register(api, "https://evil.example/channel", "ben");
      expect(answer).toMatchObject({ status: 400 });
      expect(answer.text).not.toContain("evil.example");
    } finally {
      await api.close();
    }
  });

  test("R126: with a broken certificate it is not registered, the hub goes on, and what waits is pushed once the certificate is right", async () => {
    const api = await createApi("in process", { beside: base, settings: endpoint.settings });
    const wrong = await issueClient(endpoint.authority, { usages: ["server"] });
    const stopped = await createApi("in process", {
      beside: api,
      settings: { ...endpoint.settings, MPNS_CERTIFICATE: toPem(wrong) },
    });
    try {
      expect(await register(api, endpoint.openChannel(), "carl")).toMatchObject({ status: 201 });
      const refused = await register(stopped, endpoint.openChannel(), "bob");
      expect(refused).toMatchObject({ status: 422 });
      expect(refused.json()).toMatchObject({ reason: "platform_not_served" });

      const apple = { platform: "apns", pushChannel: "0f".repeat(32) };
      await stopped.as("carol", "PUT", "/api/installations/phone", apple);
      expect((await send(stopped, "carol")).json()).toMatchObject({ push: "accepted" });

      const sent = await send(stopped, "carl");
      expect(sent).toMatchObject({ status: 202 });
      expect(sent.json()).toMatchObject({ push: "pending" });
      const { id } = sent.json();
      api.advance(600);
      await stopped.runTimer("redeliverPushes");
      expect(isReceived(id)).toBe(false);

      api.advance(600);
      await api.runTimer("redeliverPushes");
      expect(isReceived(id)).toBe(true);
    } finally {
      await stopped.close();
      await api.close();
    }
  });

  test("through the bundle: pushed to with the right certificate, and not when the endpoint refuses the handshake", async () => {
    const broken = await issueClient(endpoint.authority, { usages: ["server"] });
    const api = await createApi("through the local host", {
      beside: base,
      settings: { ...endpoint.settings, MPNS_CERTIFICATE_NEXT: toPem(broken) },
    });
    const stranger = await createCertificateAuthority("stranger");
    const trusted = [endpoint.authority.certificate];
    const refusals: readonly (readonly [string, () => void])[] = [
      ["SELF_SIGNED_CERT_IN_CHAIN", () => endpoint.trustClients([stranger.certificate])],
      ["EXPIRED", () => void (endpointAheadMs = 400 * 86_400_000)],
      ["COMMON_NAME", () => void serviceNames.splice(0, 1, "other.example.com")],
    ];
    try {
      const refused = api.lines.find((line) => line.includes("certificate_refused"));
      expect(refused).toContain('"rule":"client_authentication"');
      expect(refused).toContain('"setting":"MPNS_CERTIFICATE_NEXT"');
      expect(await register(api, endpoint.openChannel(), "dora")).toMatchObject({ status: 201 });
      expect((await send(api, "dora")).json()).toMatchObject({ push: "accepted" });
      for (const [reason, breakIt] of refusals) {
        endpoint.trustClients(trusted); // closes the connections
        breakIt();
        const before = endpoint.refusedHandshakes.length;
        const sent = (await send(api, "dora")).json();
        expect(sent, reason).toMatchObject({ push: "pending" });
        expect(endpoint.refusedHandshakes.slice(before)).toContain(reason);
        expect(isReceived(sent["id"])).toBe(false);
        endpointAheadMs = 0;
        serviceNames.splice(0, 1, SERVICE_NAME);
      }
      endpoint.trustClients(trusted);
      expect((await send(api, "dora")).json()).toMatchObject({ push: "accepted" });
    } finally {
      await api.close();
    }
  });
});

describe("a broken certificate, through the bundle", () => {
  type Settings = Readonly<Record<string, string>>;
  let webPush: WebPushService;
  let intermediate: CertificateAuthority;
  let stranger: CertificateAuthority;
  let bundles: BundleHosts;

  const ofClient = async (options: Parameters<typeof issueClient>[1], authority = endpoint.authority) => ({
    MPNS_CERTIFICATE: toPem(await issueClient(authority, options)),
  });
  const inDays = (days: number) => new Date(Date.now() + days * 86_400_000);
  const BROKEN: readonly (readonly [
    what: string,
    rule: string,
    settings: () => Settings | Promise<Settings>,
  ])[] = [
    ["has expired", "not_after", () => ofClient({ validFrom: inDays(-20), validTo: inDays(-1) })],
    ["is not valid yet", "not_before", () => ofClient({ validFrom: inDays(1), validTo: inDays(9) })],
    ["names no purpose", "client_authentication", () => ofClient({ usages: [] })],
    ["is for servers only", "client_authentication", () => ofClient({ usages: ["server"] })],
    ["is of another service", "common_name", () => ofClient({ commonName: "other.example.com" })],
    ["is of an unknown authority", "chain", () => ofClient({}, stranger)],
    ["lacks its intermediate", "chain", () => ofClient({}, intermediate)],
    [
      "leads to a root that MPNS_ROOTS does not list",
      "root",
      () => ({ MPNS_ROOTS: new X509Certificate(stranger.certificate).fingerprint256 }),
    ],
    [
      "does not fit its key",
      "private_key",
      async () => {
        const { privateKey } = await issueClient(endpoint.authority);
        return { MPNS_CERTIFICATE: toPem({ ...endpoint.client, privateKey }) };
      },
    ],
    [
      "is a PFX with a legacy cipher",
      "legacy_cipher",
      () => ({ MPNS_CERTIFICATE: vector.pfx.rc2, MPNS_CERTIFICATE_PASSWORD: vector.password }),
    ],
    [
      "is a PFX with another password",
      "password",
      () => ({ MPNS_CERTIFICATE: vector.pfx.aes256, MPNS_CERTIFICATE_PASSWORD: "another" }),
    ],
    [
      "is PEM that cannot be read",
      "readable",
      () => ({ MPNS_CERTIFICATE: toPem(endpoint.client).replaceAll("MII", "MIJ") }),
    ],
  ];

  beforeAll(async () => {
    webPush = await createWebPushService();
    intermediate = await endpoint.authority.issueAuthority("intermediate");
    stranger = await createCertificateAuthority("stranger");
    const own = createSettings({
      storageConnectionString: inject("storageConnectionString"),
      hubConnectionString: base.hub.connectionString,
      hubName: base.hub.hubName,
      issuer: base.issuer,
    });
    const ofBase = { ...own, ...base.keySettings, TABLE_PREFIX: base.tablePrefix };
    const others = { ...ofBase, ...webPush.settings, ...endpoint.settings };
    bundles = await startBundleHosts({
      functionKey: base.functionKey,
      settings: await Promise.all(
        BROKEN.map(async ([, , settings]) => ({ ...others, ...(await settings()) })),
      ),
    });
  });
  afterAll(async () => {
    await bundles.close();
    await webPush.close();
  });

  test.each(BROKEN.map(([what, rule], i) => [what, rule, i] as const))(
    "R126, R129: one that %s stops this sender alone, and the log names its setting",
    async (_what, rule, i) => {
      const { url = "", lines = [] } = bundles.hosts[i] ?? {};
      const events = lines.map((line) => JSON.parse(line) as unknown);
      expect(events).toMatchObject([
        { level: "error", event: "certificate_refused", setting: "MPNS_CERTIFICATE", rule },
        { level: "error", event: "sender_stopped", sender: "mpns", setting: "MPNS_CERTIFICATE" },
      ]);
      const { issuer, functionKey } = base;
      const calls = createCalls({ url: () => url, issuer, functionKey });
      const register = (platform: string, pushChannel: unknown) =>
        calls.as(`owner-${i}`, "PUT", `/api/installations/${platform}`, { platform, pushChannel });
      const refused = await register("mpns", endpoint.openChannel());
      expect(refused.status).toBe(422);
      expect(refused.json()).toMatchObject({ reason: "platform_not_served" });
      const subscription = webPush.subscribe(webPush.vapidPublicKey);
      expect(await register("browser", subscription)).toMatchObject({ status: 201 });
      expect(await register("fcmv1", `phone-${i}`)).toMatchObject({ status: 201 });
      const sent = (await calls.send({ to: [`owner-${i}`], payload: 1 })).json();
      expect(sent).toMatchObject({ push: "accepted" });
      expect(base.hub.deliveries.at(-1)).toMatchObject({ pushChannel: `phone-${i}` });
      expect(webPush.received.at(-1)).toMatchObject({ endpoint: subscription.endpoint });
    },
  );
});
