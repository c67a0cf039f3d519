// The MPNS sender over real TLS against the local endpoint: what it sends, to whom, with which certificate, and when it
// is stopped.
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  createCertificateAuthority,
  type CertificateAuthority,
  type Identity,
} from "../../local/certificateAuthority.ts";
import { createMpnsEndpoint, type MpnsEndpoint } from "../../local/mpnsEndpoint.ts";
import type { Clock } from "../../shared/base/clock.ts";
import type { CallContext } from "../../shared/base/context.ts";
import { createLog } from "../../shared/base/log.ts";
import type { ConfigError } from "../../shared/config/settingsReader.ts";
import { readMpns } from "../../shared/config/mpns.ts";
import { createNotificationId } from "../../shared/domain/id.ts";
import type { Urgency } from "../../shared/domain/notification.ts";
import { parseHostRules } from "../../shared/push/addresses.ts";
import { createMpnsSender, type MpnsSender } from "../../shared/push/mpns.ts";
import { createPinnedTransport } from "../../shared/push/pinnedTransport.ts";
import type { PushMessage } from "../../shared/push/sender.ts";
import { createApi } from "../helpers/api.ts";

const NAME = "push.example.com";
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const start = Date.now();
const inDays = (days: number) => new Date(start + days * DAY_MS);

let endpoint: MpnsEndpoint;
let intermediate: CertificateAuthority;
let stranger: CertificateAuthority;

beforeAll(async () => {
  endpoint = await createMpnsEndpoint({ serviceNames: [NAME, "other.example.com"] });
  intermediate = await endpoint.authority.issueAuthority("intermediate");
  stranger = await createCertificateAuthority("stranger");
});
afterAll(() => endpoint.close());

let time: number;
let lines: string[];
const senders: MpnsSender[] = [];
beforeEach(() => {
  time = start;
  lines = [];
});
afterEach(async () => {
  endpoint.answerWith(undefined);
  await Promise.all(senders.splice(0).map((sender) => sender.close()));
});

const clock: Clock = {
  now: () => new Date(time),
  latest: () => new Date(time),
  observe: () => undefined,
  uncorrectedMs: () => time,
};
const log = createLog((_level, line) => lines.push(line), clock.now);
const context: CallContext = { log, signal: new AbortController().signal };
const eventsOf = (name: RegExp) =>
  lines
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    .filter(({ event }) => name.test(String(event)));

const toPem = ({ certificate, privateKey }: Identity, ...chain: readonly Identity[]) =>
  [certificate, ...chain.map((one) => one.certificate), privateKey].join("");

/** A sender with the endpoint's own client certificate, or what the settings say instead. */
function create(settings: Readonly<Record<string, string>> = {}): MpnsSender {
  const errors: ConfigError[] = [];
  const config = readMpns(
    {
      MPNS_CERTIFICATE: toPem(endpoint.client),
      MPNS_SERVICE_NAME: NAME,
      MPNS_CA: endpoint.authority.certificate,
      MPNS_HOSTS: endpoint.hostEntry,
      ...settings,
    },
    errors,
  );
  if (config === undefined || errors.length > 0) throw new Error(JSON.stringify(errors));
  const sender = createMpnsSender({ config, clock, log });
  senders.push(sender);
  return sender;
}

function toMessage(urgency: Urgency = "normal"): PushMessage {
  const expiresAt = inDays(1);
  return {
    notificationId: createNotificationId(new Date(start), expiresAt),
    expiresAt,
    urgency,
    display: "silent",
  };
}

const push = (sender: MpnsSender, channel = endpoint.openChannel(), message = toMessage()) =>
  sender.push({ platform: "mpns", channel }, message, context);

describe("R127: what a push holds", () => {
  test("the ID and nothing else, the class by urgency, a GUID, and no target", async () => {
    const sender = create();
    const channel = endpoint.openChannel();
    for (const [urgency, notificationClass] of [
      ["high", "3"],
      ["normal", "3"],
      ["low", "13"],
      ["very-low", "23"],
    ] as const) {
      const message = toMessage(urgency);
      expect(await push(sender, channel, message)).toEqual({ kind: "accepted" });
      const received = endpoint.received.at(-1);
      expect(received).toMatchObject({ channelUri: channel, body: message.notificationId, client: NAME });
      expect(received?.headers["x-notificationclass"]).toBe(notificationClass);
      expect(Object.keys(received?.headers ?? {}).toSorted()).toEqual([
        "connection",
        "content-length",
        "content-type",
        "host",
        "x-messageid",
        "x-notificationclass",
      ]);
    }
  });

  test("a repeat has the same message ID, another notification another one", async () => {
    const sender = create();
    const ids = async (message: PushMessage) => {
      await push(sender, endpoint.openChannel(), message);
      return endpoint.received.at(-1)?.headers["x-messageid"];
    };
    const message = toMessage();
    const first = await ids(message);
    expect(first).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(await ids(message)).toBe(first);
    expect(await ids(toMessage())).not.toBe(first);
  });

  test("connections are kept", async () => {
    const sender = create();
    const before = endpoint.connections();
    for (let i = 0; i < 20; i++) expect(await push(sender)).toEqual({ kind: "accepted" });
    expect(endpoint.connections() - before).toBeLessThanOrEqual(2);
  });

  test("a certificate of an intermediate authority is sent with that authority's", async () => {
    const client = await intermediate.issue({ commonName: NAME, usages: ["client"] });
    expect(await push(create({ MPNS_CERTIFICATE: toPem(client, intermediate) }))).toEqual({
      kind: "accepted",
    });
  });
});

describe("client certificates", () => {
  const issue = (options: Partial<Parameters<CertificateAuthority["issue"]>[0]>, from = endpoint.authority) =>
    from.issue({ commonName: NAME, usages: ["client"], ...options });

  interface Broken {
    readonly identity: () => Promise<Identity> | undefined;
    readonly reason: string;
    readonly rule?: string;
    readonly settings?: () => Readonly<Record<string, string>>;
  }
  const BROKEN: Readonly<Record<string, Broken>> = {
    expired: {
      identity: () => issue({ validFrom: inDays(-20), validTo: inDays(-1) }),
      reason: "CERT_HAS_EXPIRED",
      rule: "not_after",
    },
    "not yet valid": {
      identity: () => issue({ validFrom: inDays(1), validTo: inDays(9) }),
      reason: "CERT_NOT_YET_VALID",
      rule: "not_before",
    },
    "for servers only": {
      identity: () => issue({ usages: ["server"] }),
      reason: "INVALID_PURPOSE",
      rule: "client_authentication",
    },
    "of another name": {
      identity: () => issue({ commonName: "evil.example.com" }),
      reason: "COMMON_NAME",
      rule: "common_name",
    },
    "of an authority that is not known": {
      identity: () => issue({}, stranger),
      reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      rule: "chain",
    },
    "without its intermediate": {
      identity: () => issue({}, intermediate),
      reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      rule: "chain",
    },
    "not there": { identity: () => undefined, reason: "NO_CERTIFICATE" },
  };

  const connect = async (identity: Identity | undefined, maxVersion?: "TLSv1.2") => {
    const hosts = parseHostRules(endpoint.hostEntry);
    if (!hosts.ok) throw new Error(hosts.error);
    const transport = createPinnedTransport({
      hosts: hosts.value,
      tls: {
        ca: endpoint.authority.certificate,
        ...(identity && { cert: identity.certificate, key: identity.privateKey }),
        ...(maxVersion && { maxVersion }),
      },
    });
    const result = await transport.post({
      url: endpoint.openChannel(),
      headers: { "X-NotificationClass": "3" },
      body: Buffer.from("x"),
      signal: context.signal,
    });
    await transport.close();
    return result;
  };

  test.each(Object.keys(BROKEN))(
    "the endpoint refuses the handshake of one that is %s (R126)",
    async (what) => {
      const broken = BROKEN[what];
      const before = [endpoint.received.length, endpoint.refusedHandshakes.length] as const;
      expect(await connect(await broken?.identity())).toMatchObject({ ok: false, error: { kind: "failed" } });
      expect(endpoint.refusedHandshakes.slice(before[1])).toEqual([broken?.reason]);
      expect(endpoint.received).toHaveLength(before[0]);
    },
  );

  test("the endpoint accepts the right one", async () => {
    expect(await connect(await issue({}))).toMatchObject({ ok: true, value: { status: 200 } });
  });

  test.each(Object.keys(BROKEN).filter((what) => BROKEN[what]?.rule !== undefined))(
    "one that is %s stops this sender, which says so and connects to nothing",
    async (what) => {
      const broken = BROKEN[what];
      const identity = await broken?.identity();
      if (identity === undefined) throw new Error("no identity");
      const before = endpoint.refusedHandshakes.length;
      const sender = create({ MPNS_CERTIFICATE: toPem(identity) });
      expect(sender.isServing()).toBe(false);
      expect(eventsOf(/./)).toMatchObject([
        { level: "error", event: "certificate_refused", setting: "MPNS_CERTIFICATE", rule: broken?.rule },
        { level: "error", event: "sender_stopped", sender: "mpns", setting: "MPNS_CERTIFICATE" },
      ]);
      expect(await push(sender)).toEqual({ kind: "transient", cause: "sender_stopped" });
      expect(endpoint.refusedHandshakes).toHaveLength(before);
      expect(lines.join()).not.toContain(identity.privateKey.split("\n")[1]);
    },
  );

  test.each([
    ["MPNS_SERVICE_NAME", { MPNS_SERVICE_NAME: "" }],
    ["MPNS_CA", { MPNS_CA: "nothing of the kind" }],
    ["MPNS_PRIVATE_KEY", { MPNS_PRIVATE_KEY: "nothing of the kind" }],
  ])("%s that cannot be used stops this sender", (setting, settings) => {
    expect(create(settings).isServing()).toBe(false);
    expect(eventsOf(/sender_stopped/)).toMatchObject([{ level: "error", sender: "mpns", setting }]);
  });

  test("a server that ends the handshake with an alert about our certificate is a credentials error", async () => {
    // A fatal alert, bad_certificate, in answer to the first message (RFC 8446 §6).
    const server = createTcpServer((socket) => {
      socket.once("data", () => socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, 42])));
      socket.on("error", () => undefined);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const sender = create({ MPNS_HOSTS: `localhost:${port};private` });
    expect(await push(sender, `https://localhost:${port}/x`)).toEqual({ kind: "credentials", status: 0 });
    expect(eventsOf(/client_certificate_rejected/)).toMatchObject([
      { sender: "mpns", destination: `https://localhost:${port}` },
    ]);
    server.close();
  });
});

describe("R126: whom it connects to", () => {
  const serve = async (identity: Identity, options: object = {}) => {
    let requests = 0;
    const server = createTlsServer(
      { key: identity.privateKey, cert: identity.certificate, ...options },
      (_request, response) => {
        requests++;
        response.writeHead(200).end();
      },
    );
    server.on("tlsClientError", () => undefined);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const sender = create({ MPNS_HOSTS: `localhost:${port};private` });
    const outcome = await push(sender, `https://localhost:${port}/x`);
    server.closeAllConnections();
    server.close();
    return { outcome, requests };
  };
  const forServer = (authority: CertificateAuthority, name = "localhost") =>
    authority.issue({ commonName: name, names: [name], usages: ["server"] });

  test("not a server of an authority that MPNS_CA does not hold", async () => {
    const { outcome, requests } = await serve(await forServer(stranger));
    expect(outcome).toMatchObject({ kind: "transient", cause: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" });
    expect(requests).toBe(0);
  });

  test("not a server of another name", async () => {
    const { outcome, requests } = await serve(await forServer(endpoint.authority, "evil.example"));
    expect(outcome).toEqual({ kind: "transient", cause: "ERR_TLS_CERT_ALTNAME_INVALID" });
    expect(requests).toBe(0);
  });

  test("not a server that only speaks TLS 1.1", async () => {
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" };
    const { outcome, requests } = await serve(await forServer(endpoint.authority), old);
    expect(outcome.kind).not.toBe("accepted");
    expect(requests).toBe(0);
  });

  test("a server that asks for no client certificate, and one that speaks TLS 1.2", async () => {
    const { outcome, requests } = await serve(await forServer(endpoint.authority), { maxVersion: "TLSv1.2" });
    expect(outcome).toEqual({ kind: "accepted" });
    expect(requests).toBe(1);
  });

  test("not an authority that only came with a PFX or a chain", async () => {
    const client = await intermediate.issue({ commonName: NAME, usages: ["client"] });
    const sender = create({
      MPNS_CERTIFICATE: toPem(client, intermediate, endpoint.authority),
      MPNS_CA: stranger.certificate,
    });
    expect(sender.isServing()).toBe(true);
    expect(await push(sender)).toMatchObject({ kind: "transient" });
  });

  test("R130: channel URIs of MPNS_HOSTS are admitted, others refused", async () => {
    const admit = (sender: MpnsSender, channel: string) =>
      sender.admit?.({ platform: "mpns", channel }, context);
    expect(await admit(create(), endpoint.openChannel())).toEqual({ kind: "admitted" });
    expect(await admit(create(), "https://evil.example/x")).toEqual({
      kind: "refused",
      detail: "pushChannel: must be of a push service on the list of allowed hosts",
    });
    const sender = create();
    expect(await push(sender, "https://evil.example/x")).toEqual({
      kind: "damaged",
      cause: "address_refused",
    });
    expect(sender.toDestination?.(`${endpoint.origin}/a/b?c`)).toBe(endpoint.origin);
  });
});

describe("answers", () => {
  test("what the endpoint answers is the outcome, and a line names the status and the headers alone", async () => {
    const sender = create();
    endpoint.answerWith(() => ({
      status: 412,
      headers: {
        "X-NotificationStatus": "Dropped",
        "X-DeviceConnectionStatus": "Inactive",
        "X-SubscriptionStatus": "https://evil/",
      },
    }));
    expect(await push(sender)).toEqual({ kind: "throttled", retryAfterSeconds: 3600, isDeviceOnly: true });
    const [line] = eventsOf(/push_service_answer/);
    expect(line).toMatchObject({
      destination: endpoint.origin,
      status: 412,
      notificationStatus: "Dropped",
      deviceStatus: "Inactive",
    });
    expect(line).not.toHaveProperty("subscriptionStatus");
  });

  test("a channel that the app has closed is gone; one of another service is a credentials error", async () => {
    const sender = create();
    const channel = endpoint.openChannel();
    endpoint.closeChannel(channel);
    expect(await push(sender, channel)).toEqual({ kind: "gone" });
    expect(await push(sender, endpoint.openChannel("other.example.com"))).toEqual({
      kind: "credentials",
      status: 401,
    });
  });
});

describe("renewal with two certificates", () => {
  const pair = async () => {
    const current = await endpoint.authority.issue({
      commonName: NAME,
      usages: ["client"],
      validFrom: inDays(-300),
      validTo: inDays(20),
    });
    const next = await intermediate.issue({
      commonName: NAME,
      usages: ["client"],
      validFrom: new Date(start - 10 * MINUTE_MS),
    });
    return {
      current,
      next,
      fingerprints: [current, next].map((one) => new X509Certificate(one.certificate).fingerprint256),
    };
  };

  test("under load no push fails while the next certificate comes into use", async () => {
    const { current, next, fingerprints } = await pair();
    time = start - 20 * MINUTE_MS;
    const sender = create({
      MPNS_CERTIFICATE: toPem(current),
      MPNS_CERTIFICATE_NEXT: [next.certificate, intermediate.certificate].join(""),
      MPNS_PRIVATE_KEY_NEXT: next.privateKey,
    });
    const before = endpoint.received.length;
    const outcomes: string[] = [];
    const channel = endpoint.openChannel();
    const work = Array.from({ length: 10 }, async () => {
      for (let i = 0; i < 30; i++) {
        if (i === 15) time = start;
        outcomes.push((await push(sender, channel)).kind);
      }
    });
    await Promise.all(work);
    expect(outcomes).toEqual(Array.from({ length: 300 }, () => "accepted"));
    const used = endpoint.received.slice(before).map(({ fingerprint }) => fingerprint);
    expect(used).toHaveLength(300);
    expect(new Set(used)).toEqual(new Set(fingerprints));
    expect(used.at(-1)).toBe(fingerprints[1]);
  });

  test("the one in use is checked, the other idle; a next one that is broken stops nothing", async () => {
    const { current, next } = await pair();
    create({ MPNS_CERTIFICATE: toPem(current), MPNS_CERTIFICATE_NEXT: toPem(next, intermediate) });
    expect(eventsOf(/./)).toMatchObject([
      { level: "info", event: "certificate_idle", setting: "MPNS_CERTIFICATE", daysLeft: 19 },
      { level: "info", event: "certificate_checked", setting: "MPNS_CERTIFICATE_NEXT" },
    ]);
    lines = [];
    const sender = create({ MPNS_CERTIFICATE: toPem(current), MPNS_CERTIFICATE_NEXT: toPem(next) });
    expect(eventsOf(/./)).toMatchObject([
      { level: "warn", event: "certificate_checked", setting: "MPNS_CERTIFICATE", daysLeft: 19 },
      { level: "error", event: "certificate_refused", setting: "MPNS_CERTIFICATE_NEXT", rule: "chain" },
    ]);
    expect(await push(sender)).toEqual({ kind: "accepted" });
  });

  test("a certificate that ends while the app runs stops the sender at that moment; the check says so daily", async () => {
    const identity = await endpoint.authority.issue({
      commonName: NAME,
      usages: ["client"],
      validTo: inDays(30),
    });
    const sender = create({ MPNS_CERTIFICATE: toPem(identity) });
    const linesAt = (days: number) => {
      time = inDays(days).getTime();
      lines = [];
      sender.checkDaily(log);
      sender.checkDaily(log);
      return eventsOf(/./);
    };
    expect(linesAt(0)).toEqual([]); // checked at start
    expect(linesAt(1)).toMatchObject([{ level: "warn", event: "certificate_checked", daysLeft: 28 }]);
    expect(sender.isServing()).toBe(true);
    expect(linesAt(31)).toMatchObject([
      { event: "certificate_refused", rule: "not_after" },
      { event: "sender_stopped", sender: "mpns" },
    ]);
    expect(sender.isServing()).toBe(false);
  });
});

describe("in the app", () => {
  const linesOf = async (settings: Readonly<Record<string, string>>) => {
    const api = await createApi("in process", { settings });
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
    MPNS_SERVICE_NAME: NAME,
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

  test("nothing is said where there is none", async () => {
    expect((await linesOf({})).all).toEqual([]);
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
