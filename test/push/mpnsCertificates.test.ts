// The client certificates of the MPNS sender over real TLS: which stop it, which the endpoint refuses, and renewal.
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer as createTcpServer } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { toPort } from "../../local/server.ts";
import type { CertificateAuthority, Identity } from "../../local/certificateAuthority.ts";
import { parseHostRules } from "../../shared/config/hostRules.ts";
import { createPinnedTransport } from "../../shared/push/pinnedTransport.ts";
import { createMpnsBench, issueClient, type MpnsBench, toPem } from "../helpers/mpns.ts";

const MINUTE_MS = 60_000;

let bench: MpnsBench;
let endpoint: MpnsBench["endpoint"];
let intermediate: CertificateAuthority;
let stranger: CertificateAuthority;

beforeAll(async () => {
  bench = await createMpnsBench();
  ({ endpoint, intermediate, stranger } = bench);
});
afterAll(() => bench.close());
afterEach(() => bench.reset());

describe("client certificates", () => {
  interface Broken {
    readonly identity: () => Promise<Identity> | undefined;
    readonly reason: string;
    readonly rule?: string;
  }
  const BROKEN: Readonly<Record<string, Broken>> = {
    expired: {
      identity: () =>
        issueClient(endpoint.authority, { validFrom: bench.inDays(-20), validTo: bench.inDays(-1) }),
      reason: "CERT_HAS_EXPIRED",
      rule: "not_after",
    },
    "not yet valid": {
      identity: () =>
        issueClient(endpoint.authority, { validFrom: bench.inDays(1), validTo: bench.inDays(9) }),
      reason: "CERT_NOT_YET_VALID",
      rule: "not_before",
    },
    "for servers only": {
      identity: () => issueClient(endpoint.authority, { usages: ["server"] }),
      reason: "INVALID_PURPOSE",
      rule: "client_authentication",
    },
    "of another name": {
      identity: () => issueClient(endpoint.authority, { commonName: "evil.example.com" }),
      reason: "COMMON_NAME",
      rule: "common_name",
    },
    "of an authority that is not known": {
      identity: () => issueClient(stranger),
      reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      rule: "chain",
    },
    "without its intermediate": {
      identity: () => issueClient(intermediate),
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
      signal: bench.context.signal,
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
    expect(await connect(await issueClient(endpoint.authority))).toMatchObject({
      ok: true,
      value: { status: 200 },
    });
  });

  test.each(Object.keys(BROKEN).filter((what) => BROKEN[what]?.rule !== undefined))(
    "one that is %s stops this sender, which says so and connects to nothing",
    async (what) => {
      const broken = BROKEN[what];
      const identity = await broken?.identity();
      if (identity === undefined) throw new Error("no identity");
      const before = endpoint.refusedHandshakes.length;
      const sender = bench.create({ MPNS_CERTIFICATE: toPem(identity) });
      expect(sender.isServing()).toBe(false);
      expect(bench.eventsOf(/./)).toMatchObject([
        { level: "error", event: "certificate_refused", setting: "MPNS_CERTIFICATE", rule: broken?.rule },
        { level: "error", event: "sender_stopped", sender: "mpns", setting: "MPNS_CERTIFICATE" },
      ]);
      expect(await bench.push(sender)).toEqual({ kind: "transient", cause: "sender_stopped" });
      expect(endpoint.refusedHandshakes).toHaveLength(before);
      expect(bench.text()).not.toContain(identity.privateKey.split("\n")[1]);
    },
  );

  test.each([
    ["MPNS_SERVICE_NAME", { MPNS_SERVICE_NAME: "" }],
    ["MPNS_CERTIFICATE", { MPNS_CERTIFICATE: "" }],
    ["MPNS_CERTIFICATE", { MPNS_CERTIFICATE: "", MPNS_SERVICE_NAME: "", MPNS_PRIVATE_KEY: "a key" }],
    ["MPNS_CA", { MPNS_CA: "nothing of the kind" }],
    ["MPNS_PRIVATE_KEY", { MPNS_PRIVATE_KEY: "nothing of the kind" }],
  ])("%s that cannot be used stops this sender", (setting, settings) => {
    expect(bench.create(settings).isServing()).toBe(false);
    expect(bench.eventsOf(/sender_stopped/)).toMatchObject([{ level: "error", sender: "mpns", setting }]);
  });

  test("a next key without its certificate is reported, and stops nothing", () => {
    expect(bench.create({ MPNS_PRIVATE_KEY_NEXT: "a key" }).isServing()).toBe(true);
    expect(bench.eventsOf(/certificate_refused/)).toMatchObject([
      { setting: "MPNS_CERTIFICATE_NEXT", rule: "missing" },
    ]);
  });

  test("a server that ends the handshake with an alert about our certificate is a credentials error", async () => {
    // A fatal alert, bad_certificate, in answer to the first message (RFC 8446 §6).
    const server = createTcpServer((socket) => {
      socket.once("data", () => socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, 42])));
      socket.on("error", () => undefined);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = toPort(server);
    const sender = bench.create({ MPNS_HOSTS: `localhost:${port};private` });
    expect(await bench.push(sender, `https://localhost:${port}/x`)).toEqual({
      kind: "credentials",
      status: 0,
    });
    expect(bench.eventsOf(/client_certificate_rejected/)).toMatchObject([
      { sender: "mpns", destination: `https://localhost:${port}` },
    ]);
    server.close();
  });
});

describe("renewal with two certificates", () => {
  const pair = async () => {
    const current = await issueClient(endpoint.authority, {
      validFrom: bench.inDays(-300),
      validTo: bench.inDays(20),
    });
    const next = await issueClient(intermediate, {
      validFrom: new Date(bench.start - 10 * MINUTE_MS),
    });
    return {
      current,
      next,
      fingerprints: [current, next].map((one) => new X509Certificate(one.certificate).fingerprint256),
    };
  };

  test("under load no push fails while the next certificate comes into use", async () => {
    const { current, next, fingerprints } = await pair();
    bench.time = bench.start - 20 * MINUTE_MS;
    const sender = bench.create({
      MPNS_CERTIFICATE: toPem(current),
      MPNS_CERTIFICATE_NEXT: [next.certificate, intermediate.certificate].join(""),
      MPNS_PRIVATE_KEY_NEXT: next.privateKey,
    });
    const before = endpoint.received.length;
    const outcomes: string[] = [];
    const channel = endpoint.openChannel();
    const work = Array.from({ length: 10 }, async () => {
      for (let i = 0; i < 30; i++) {
        if (i === 15) bench.time = bench.start;
        outcomes.push((await bench.push(sender, channel)).kind);
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
    bench.create({ MPNS_CERTIFICATE: toPem(current), MPNS_CERTIFICATE_NEXT: toPem(next, intermediate) });
    expect(bench.eventsOf(/./)).toMatchObject([
      { level: "info", event: "certificate_idle", setting: "MPNS_CERTIFICATE", daysLeft: 19 },
      { level: "info", event: "certificate_checked", setting: "MPNS_CERTIFICATE_NEXT" },
    ]);
    bench.forgetLines();
    const sender = bench.create({ MPNS_CERTIFICATE: toPem(current), MPNS_CERTIFICATE_NEXT: toPem(next) });
    expect(bench.eventsOf(/./)).toMatchObject([
      { level: "warn", event: "certificate_checked", setting: "MPNS_CERTIFICATE", daysLeft: 19 },
      { level: "error", event: "certificate_refused", setting: "MPNS_CERTIFICATE_NEXT", rule: "chain" },
    ]);
    expect(await bench.push(sender)).toEqual({ kind: "accepted" });
  });

  test("a certificate that ends while the app runs stops the sender at that moment; the check says so daily", async () => {
    const identity = await issueClient(endpoint.authority, {
      validTo: bench.inDays(30),
    });
    const sender = bench.create({ MPNS_CERTIFICATE: toPem(identity) });
    const linesAt = (days: number) => {
      bench.time = bench.inDays(days).getTime();
      bench.forgetLines();
      sender.checkDaily(bench.context.log);
      sender.checkDaily(bench.context.log);
      return bench.eventsOf(/./);
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
