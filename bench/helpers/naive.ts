// The two operations as one writes them after reading the READMEs of @azure/data-tables, @azure/notification-hubs and jose:
// a row and a push, without outbox, device lists, receipts, retries of a push or an Idempotency-Key. I/O: table server and hub.
import { randomBytes, randomUUID } from "node:crypto";
import { TableClient } from "@azure/data-tables";
import type { HttpHandler, HttpRequest } from "@azure/functions";
import { createFcmV1Notification, NotificationHubsClient } from "@azure/notification-hubs";
import { compactDecrypt, CompactEncrypt, createRemoteJWKSet, jwtVerify } from "jose";
import type { Issuer } from "../../local/issuer.ts";

export interface NaiveOptions {
  readonly storageConnectionString: string;
  readonly hubConnectionString: string;
  readonly issuer: Issuer;
}

export interface Naive {
  readonly getNotification: HttpHandler;
  /** The Functions host checks its function key. */
  readonly sendSecure: HttpHandler;
  readonly sendSecureWithToken: HttpHandler;
}

export async function createNaive(options: NaiveOptions): Promise<Naive> {
  const { storageConnectionString, hubConnectionString, issuer } = options;
  const table = TableClient.fromConnectionString(
    storageConnectionString,
    `naive${randomBytes(8).toString("hex")}`,
    { allowInsecureConnection: true },
  );
  await table.createTable();
  const hub = new NotificationHubsClient(hubConnectionString, "hub");
  const discovered = await fetch(`${issuer.url}/.well-known/openid-configuration`);
  const { jwks_uri: keysUrl } = (await discovered.json()) as { readonly jwks_uri: string };
  const keys = createRemoteJWKSet(new URL(keysUrl));
  const secret = new Uint8Array(randomBytes(32));

  const verify = async (request: HttpRequest) => {
    const token = request.headers.get("authorization")?.slice("Bearer ".length) ?? "";
    return (await jwtVerify(token, keys, { issuer: issuer.url, audience: issuer.audience })).payload;
  };
  const sendSecure: HttpHandler = async (request) => {
    const { to, payload } = (await request.json()) as {
      readonly to: readonly string[];
      readonly payload: unknown;
    };
    const [user = ""] = to;
    const id = randomUUID();
    const sealed = await new CompactEncrypt(new TextEncoder().encode(JSON.stringify(payload)))
      .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
      .encrypt(secret);
    await table.createEntity({ partitionKey: user, rowKey: id, sealed });
    const message = createFcmV1Notification({ body: JSON.stringify({ message: { data: { id } } }) });
    await hub.sendNotification(message, {
      tagExpression: `user:${user}`,
      requestOptions: { allowInsecureConnection: true }, // the hub is on this machine
    });
    return { status: 201, jsonBody: { id } };
  };
  return {
    getNotification: async (request) => {
      const { sub = "" } = await verify(request);
      const id = request.params["id"] ?? "";
      const { sealed } = await table.getEntity<{ sealed: string }>(sub, id);
      const { plaintext } = await compactDecrypt(sealed, secret);
      return { jsonBody: { id, payload: JSON.parse(new TextDecoder().decode(plaintext)) as unknown } };
    },
    sendSecure,
    sendSecureWithToken: async (request, context) => {
      await verify(request);
      return sendSecure(request, context);
    },
  };
}
