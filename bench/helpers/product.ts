// The product's own handlers in this process, without a Functions host, and requests as the host makes them. I/O: the
// table server, hub and issuer that it is given.
import { HttpRequest, type HttpResponseInit, type InvocationContext } from "@azure/functions";
import { createApp } from "../../functions/app.ts";
import { toHttpHandler } from "../../functions/http/handler.ts";
import type { RouteName } from "../../functions/routeTable.ts";
import type { Issuer } from "../../local/issuer.ts";
import { createClock } from "../../shared/base/clock.ts";
import { createLog } from "../../shared/base/log.ts";
import { parseConfig, toConfigErrorText } from "../../shared/config/config.ts";
import { createSettings } from "../../test/helpers/calls.ts";

export interface Product {
  /** Calls a handler. Throws where its answer is a failure. */
  readonly call: (name: RouteName, request: HttpRequest) => Promise<HttpResponseInit>;
  /** Answers of the table server so far. */
  readonly counts: { calls: number };
  /** Moves the clock: after two minutes a device is reached by its tag. */
  readonly advance: (seconds: number) => void;
}

export interface ProductOptions {
  readonly storageConnectionString: string;
  readonly hubConnectionString: string;
  readonly issuer: Issuer;
  readonly settings?: Readonly<Record<string, string>>;
}

export function createProduct(options: ProductOptions): Product {
  const settings = { ...createSettings({ ...options, hubName: "hub" }), ...options.settings };
  const config = parseConfig(settings);
  if (!config.ok) throw new Error(toConfigErrorText(config.error));
  const counts = { calls: 0 };
  let aheadMs = 0;
  const log = createLog(() => undefined);
  const clock = createClock(log, () => Date.now() + aheadMs);
  const observe: typeof clock.observe = (date, sentAtMs, receivedAtMs) => {
    counts.calls++;
    clock.observe(new Date(date.getTime() + aheadMs), sentAtMs, receivedAtMs);
  };
  const app = createApp({
    config: config.value,
    clock: { ...clock, observe },
    log,
    sleep: () => Promise.resolve(),
  });
  const handlers = new Map(app.routes.map((route) => [route.name, toHttpHandler(route, app)]));
  return {
    call: async (name, request) => {
      const answer = (await handlers.get(name)?.(request, CONTEXT)) ?? {};
      if (!((answer.status ?? 0) >= 200 && (answer.status ?? 0) < 300))
        throw new Error(`${name} answered ${answer.status} ${toText(answer)}`);
      return answer;
    },
    counts,
    advance: (seconds) => {
      aheadMs += seconds * 1000;
    },
  };
}

export const CONTEXT = {
  invocationId: "00000000-0000-0000-0000-000000000000",
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
} as unknown as InvocationContext;

export interface RequestInit {
  readonly params?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Becomes JSON. */
  readonly body?: unknown;
}

export function toRequest(method: string, path: string, init: RequestInit = {}): HttpRequest {
  const { params = {}, headers = {}, body } = init;
  return new HttpRequest({
    method,
    url: `http://localhost/api${path}`,
    params: { ...params },
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: { string: JSON.stringify(body) } }),
  });
}

/** A registration of the user's one device. */
export function toRegistration(user: string, token: string): HttpRequest {
  return toRequest("PUT", "/installations/phone", {
    params: { installationId: "phone" },
    headers: { authorization: `Bearer ${token}` },
    body: { platform: "fcmv1", pushChannel: user },
  });
}

/** The handlers answer with text. */
function toText({ body }: HttpResponseInit): string {
  return typeof body === "string" ? body : "";
}

/** The ID in sendSecure's answer. */
export function toId(answer: HttpResponseInit): string {
  return (JSON.parse(toText(answer)) as { readonly id: string }).id;
}
