// How callers speak to an app that runs, and the settings of one with tables and keys of its own.
import { randomBytes, randomUUID } from "node:crypto";
import type { Issuer } from "../../local/issuer.ts";
import type { Exchange } from "./contract.ts";

export interface Calls {
  /** Every answer is held to the app's document, where there is one, and so is the request where it was taken. */
  readonly call: (
    method: string,
    path: string,
    headers?: Readonly<Record<string, string>>,
    body?: string | Uint8Array,
  ) => Promise<Answered>;
  /** sendSecure with the function key; `body` is made JSON. */
  readonly send: (body: unknown, headers?: Readonly<Record<string, string>>) => Promise<Answered>;
  /** Another call with the function key. */
  readonly post: (
    path: string,
    body: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Answered>;
  /** A call as this user's device. */
  readonly as: (userId: string, method: string, path: string, body?: unknown) => Promise<Answered>;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body, parsed. */
  readonly json: () => Readonly<Record<string, unknown>>;
}

export interface CallsOptions {
  /** Asked at each call: an app that is restarted listens elsewhere. */
  readonly url: () => string;
  readonly issuer: Issuer;
  readonly functionKey: string;
  /** Throws where a call and its answer are not what the app's document says. */
  readonly check?: (exchange: Exchange) => void;
}

/** Tests move the clock. */
const TOKEN_SECONDS = 43_200;
const JSON_TYPE = { "content-type": "application/json" };

export function createCalls({ url, issuer, functionKey, check }: CallsOptions): Calls {
  const tokens = new Map<string, Promise<string>>();
  const call: Calls["call"] = async (method, path, headers = {}, body) => {
    const response = await fetch(`${url()}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: Buffer.from(body) }),
    });
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, text };
    check?.({ method, path, headers, ...(body === undefined ? {} : { body }), answer });
    return { ...answer, json: () => JSON.parse(text) as Readonly<Record<string, unknown>> };
  };
  const post: Calls["post"] = (path, body, headers) =>
    call("POST", path, { ...JSON_TYPE, "x-functions-key": functionKey, ...headers }, JSON.stringify(body));
  return {
    call,
    post,
    send: (body, headers) => post("/api/notifications", body, headers),
    as: async (userId, method, path, body) => {
      const token = tokens.get(userId) ?? issuer.buildUserToken(userId, TOKEN_SECONDS);
      tokens.set(userId, token);
      const authorization = `Bearer ${await token}`;
      return body === undefined
        ? call(method, path, { authorization })
        : call(method, path, { ...JSON_TYPE, authorization }, JSON.stringify(body));
    },
  };
}

/** Through the local host: has it begin a run of a timer function, behind one that is going on. */
export async function fireTimer({ call }: Calls, name: string): Promise<void> {
  const answer = await call("POST", `/admin/functions/${name}`, JSON_TYPE, '{"input":""}');
  if (answer.status !== 202) throw new Error(`${name}: ${answer.status} ${answer.text}`);
}

/** Where an app finds what it works with. */
export interface Surroundings {
  readonly storageConnectionString: string;
  readonly hubConnectionString: string;
  readonly hubName: string;
  readonly issuer: Issuer;
}

export function createSettings({
  storageConnectionString,
  hubConnectionString,
  hubName,
  issuer,
}: Surroundings) {
  return {
    STORAGE_CONNECTION_STRING: storageConnectionString,
    TABLE_PREFIX: `t${randomUUID().replaceAll("-", "").slice(0, 20)}`,
    NOTIFICATION_HUB_CONNECTION_STRING: hubConnectionString,
    NOTIFICATION_HUB_NAME: hubName,
    AUTH_ISSUER: issuer.url,
    AUTH_AUDIENCE: issuer.audience,
    ALLOW_LOOPBACK: "true",
    PAYLOAD_LOCAL_KEK: randomBytes(32).toString("base64"),
  };
}
