// The MPNS sender over real TLS against the local endpoint: what it sends, to whom it connects, and what it makes of
// answers.
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createSecureServer } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { toPort } from "../../local/server.ts";
import type { CertificateAuthority, Identity } from "../../local/certificateAuthority.ts";
import type { MpnsSender } from "../../shared/push/mpns.ts";
import type { PushMessage } from "../../shared/push/sender.ts";
import {
  createMpnsBench,
  issueClient,
  type MpnsBench,
  SERVICE_NAME,
  toMpnsMessage,
  toPem,
} from "../helpers/mpns.ts";
import vector from "../vectors/clientCertificate.json" with { type: "json" };

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

describe("R127, P1: what a push holds", () => {
  test("the ID and nothing else, the class by urgency, a GUID, and no target", async () => {
    const sender = bench.create();
    const channel = endpoint.openChannel();
    for (const [urgency, notificationClass] of [
      ["high", "3"],
      ["normal", "3"],
      ["low", "13"],
      ["very-low", "23"],
    ] as const) {
      const message = toMpnsMessage(bench.start, urgency);
      expect(await bench.push(sender, channel, message)).toEqual({ kind: "accepted" });
      const received = endpoint.received.at(-1);
      expect(received).toMatchObject({
        channelUri: channel,
        body: message.notificationId,
        client: SERVICE_NAME,
      });
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
    const sender = bench.create();
    const ids = async (message: PushMessage) => {
      await bench.push(sender, endpoint.openChannel(), message);
      return endpoint.received.at(-1)?.headers["x-messageid"];
    };
    const message = toMpnsMessage(bench.start);
    const first = await ids(message);
    expect(first).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(await ids(message)).toBe(first);
    expect(await ids(toMpnsMessage(bench.start))).not.toBe(first);
  });

  test("connections are kept", async () => {
    const sender = bench.create();
    const before = endpoint.connections();
    for (let i = 0; i < 20; i++) expect(await bench.push(sender)).toEqual({ kind: "accepted" });
    expect(endpoint.connections() - before).toBeLessThanOrEqual(2);
  });

  test("HTTP/2 is not offered", async () => {
    const { certificate, privateKey } = await endpoint.authority.issue({
      commonName: "localhost",
      names: ["localhost"],
      usages: ["server"],
    });
    const versions: string[] = [];
    const server = createSecureServer(
      { key: privateKey, cert: certificate, allowHTTP1: true },
      ({ httpVersion }, response) => {
        versions.push(httpVersion);
        response.writeHead(200, { "X-NotificationStatus": "Received" }).end();
      },
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = toPort(server);
    const sender = bench.create({ MPNS_HOSTS: `localhost:${port};private` });
    await bench.push(sender, `https://localhost:${port}/x`);
    expect(versions).toEqual(["1.1"]);
    await sender.close();
    server.close();
  });

  test("a certificate of an intermediate authority is sent with that authority's", async () => {
    const client = await issueClient(intermediate);
    expect(await bench.push(bench.create({ MPNS_CERTIFICATE: toPem(client, intermediate) }))).toEqual({
      kind: "accepted",
    });
  });
});

test.each<[string, Readonly<Record<string, string>>]>([
  ["a PFX", { MPNS_CERTIFICATE: vector.pfx.aes256 }],
  ["a PFX of an older Windows", { MPNS_CERTIFICATE: vector.pfx.tripleDes }],
  [
    "PEM without line breaks and an encrypted key",
    {
      MPNS_CERTIFICATE: [vector.root, vector.certificate, vector.intermediate]
        .join(" ")
        .replaceAll("\n", " "),
      MPNS_PRIVATE_KEY: vector.encryptedKey.replaceAll("\n", "\\n"),
    },
  ],
])("%s with its password is presented, with its intermediate", async (_what, settings) => {
  endpoint.trustClients([vector.root]);
  try {
    const sender = bench.create({ ...settings, MPNS_CERTIFICATE_PASSWORD: vector.password });
    expect(await bench.push(sender)).toEqual({ kind: "accepted" });
    expect(endpoint.received.at(-1)?.fingerprint).toBe(
      new X509Certificate(vector.certificate).fingerprint256,
    );
  } finally {
    endpoint.trustClients([endpoint.authority.certificate]);
  }
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
    const port = toPort(server);
    const sender = bench.create({ MPNS_HOSTS: `localhost:${port};private` });
    const outcome = await bench.push(sender, `https://localhost:${port}/x`);
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
    const client = await issueClient(intermediate);
    const sender = bench.create({
      MPNS_CERTIFICATE: toPem(client, intermediate, endpoint.authority),
      MPNS_CA: stranger.certificate,
    });
    expect(sender.isServing()).toBe(true);
    expect(await bench.push(sender)).toMatchObject({ kind: "transient" });
  });

  test("R130: channel URIs of MPNS_HOSTS are admitted, others refused", async () => {
    const admit = (sender: MpnsSender, channel: string) =>
      sender.admit?.({ platform: "mpns", channel }, bench.context);
    expect(await admit(bench.create(), endpoint.openChannel())).toEqual({ kind: "admitted" });
    expect(await admit(bench.create(), "https://evil.example/x")).toEqual({
      kind: "refused",
      detail: "pushChannel: must be of a push service on the list of allowed hosts",
    });
    const sender = bench.create();
    expect(await bench.push(sender, "https://evil.example/x")).toEqual({
      kind: "damaged",
      cause: "address_refused",
    });
    expect(sender.toDestination?.(`${endpoint.origin}/a/b?c`)).toBe(endpoint.origin);
  });
});

describe("answers", () => {
  test("what the endpoint answers is the outcome, and a line names the status and the headers alone", async () => {
    const sender = bench.create();
    endpoint.answerWith(() => ({
      status: 412,
      headers: {
        "X-NotificationStatus": "Dropped",
        "X-DeviceConnectionStatus": "Inactive",
        "X-SubscriptionStatus": "https://evil/",
      },
    }));
    expect(await bench.push(sender)).toEqual({
      kind: "throttled",
      retryAfterSeconds: 3600,
      isDeviceOnly: true,
    });
    const [line] = bench.eventsOf(/push_service_answer/);
    expect(line).toMatchObject({
      destination: endpoint.origin,
      status: 412,
      notificationStatus: "Dropped",
      deviceStatus: "Inactive",
    });
    expect(line).not.toHaveProperty("subscriptionStatus");
  });

  test("a channel that the app has closed is gone; one of another service is a credentials error", async () => {
    const sender = bench.create();
    const channel = endpoint.openChannel();
    endpoint.closeChannel(channel);
    expect(await bench.push(sender, channel)).toEqual({ kind: "gone" });
    expect(await bench.push(sender, endpoint.openChannel("other.example.com"))).toEqual({
      kind: "credentials",
      status: 401,
    });
  });
});
