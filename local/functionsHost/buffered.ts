// HTTP without streaming: the body is read whole, goes into the invocation, and the answer comes out of it.
import { buffer } from "node:stream/consumers";
import type { InvocationResponse } from "./coreModule.ts";
import type { HttpFunction } from "./functionTable.ts";
import {
  answerEmpty,
  type HeaderPairs,
  type HttpCall,
  whenClosed,
  withoutHopByHop,
  writeHead,
} from "./httpCall.ts";
import type { Invoker } from "./invoke.ts";
import { type HostLog, toErrorText } from "./log.ts";
import { toJoinedQuery } from "./streaming.ts";

export interface BufferedOptions {
  readonly invoker: Invoker;
  readonly log: HostLog;
  readonly maxBodyBytes: number;
}

/** An HTTP output of the library. */
interface HttpOutput {
  readonly statusCode?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cookies?: readonly HttpCookie[];
  readonly body?: { readonly bytes?: Uint8Array; readonly string?: string };
}

interface HttpCookie {
  readonly name: string;
  readonly value: string;
  readonly path?: Nullable<string>;
  readonly domain?: Nullable<string>;
  readonly expires?: Nullable<{ readonly seconds: number }>;
  readonly maxAge?: Nullable<number>;
  readonly secure?: Nullable<boolean>;
  readonly httpOnly?: Nullable<boolean>;
  readonly sameSite?: string;
}

type Nullable<T> = { readonly value?: T } | null;

/** Resolves when the answer is out, or the client gone. Never rejects. */
export async function answerBuffered(
  call: HttpCall,
  { name, registered }: HttpFunction,
  params: Readonly<Record<string, string>>,
  { invoker, log, maxBodyBytes }: BufferedOptions,
): Promise<void> {
  const { request, headers, method, url } = call;
  const length = Number(headers["content-length"] ?? 0);
  if (length > maxBodyBytes) {
    request.resume(); // a connection that is closed on a client which still sends may lose it the answer
    answerEmpty(call, 413);
    return whenClosed(call);
  }
  const body = length > 0 ? await readBody(request) : undefined;
  if (body === "gone") return whenClosed(call);
  request.resume(); // a chunked body: not passed on, as in Azure

  try {
    const { response } = await invoker.invoke(registered, {
      data: {
        http: {
          method,
          url: url.href,
          nullableHeaders: toNullable(headers),
          nullableQuery: toNullable(toJoinedQuery(url)),
          nullableParams: toNullable(params),
          ...(body === undefined ? {} : { body: { bytes: body } }),
        },
      },
    });
    writeAnswer(call, response);
  } catch (error) {
    // The invoker has logged what came from the app; this is for an answer that cannot be sent.
    log.write("error", `${name} is answered 500: ${toErrorText(error).split("\n")[0]}`);
    answerEmpty(call, 500);
  }
  return whenClosed(call);
}

async function readBody(request: HttpCall["request"]): Promise<Buffer | "gone"> {
  try {
    return await buffer(request);
  } catch {
    return "gone"; // the client hung up midway
  }
}

/** @throws Error when the answer cannot be sent as it is. */
function writeAnswer(call: HttpCall, { returnValue }: InvocationResponse): void {
  const { response, method } = call;
  if (response.destroyed) return;
  if (returnValue?.http === undefined) {
    answerEmpty(call, 204);
    return;
  }
  const output: HttpOutput = returnValue.http;
  const status = Number(output.statusCode ?? 200);
  const isBodyless = status === 204 || status === 205 || status === 304;
  const body = isBodyless ? Buffer.alloc(0) : Buffer.from(output.body?.bytes ?? output.body?.string ?? "");
  const headers = withoutHopByHop(Object.entries(output.headers ?? {}));
  for (const [name, value] of headers)
    if (/[^\t\x20-\x7e]/.test(value)) throw new Error(`the header "${name}" is not ASCII`);
  const length = headers.find(([name]) => name.toLowerCase() === "content-length")?.[1];
  if (length !== undefined && Number(length) !== body.length && method !== "HEAD" && !isBodyless)
    throw new Error("the content-length is not that of the body");
  const cookies: HeaderPairs = (output.cookies ?? []).map((cookie) => ["set-cookie", toSetCookie(cookie)]);
  const isEmpty = body.length === 0 && length === undefined;
  const framing: HeaderPairs = isEmpty && !isBodyless && method !== "HEAD" ? [["content-length", "0"]] : [];
  writeHead(call, status, [...headers, ...cookies, ...framing]);
  // Written apart from the end: sent chunked, as in Azure, unless the handler gave a length.
  if (body.length > 0) response.write(body);
  response.end();
}

function toSetCookie(cookie: HttpCookie): string {
  const parts = [`${encodeURIComponent(cookie.name)}=${encodeURIComponent(cookie.value)}`];
  if (cookie.expires?.value !== undefined)
    parts.push(`Expires=${new Date(cookie.expires.value.seconds * 1000).toUTCString()}`);
  if (cookie.maxAge?.value !== undefined) parts.push(`Max-Age=${Math.trunc(cookie.maxAge.value)}`);
  if (cookie.domain?.value !== undefined) parts.push(`Domain=${cookie.domain.value}`);
  parts.push(`Path=${cookie.path?.value ?? "/"}`);
  if (cookie.secure?.value === true) parts.push("Secure");
  if (cookie.httpOnly?.value === true) parts.push("HttpOnly");
  const sameSite = { lax: "Lax", strict: "Strict", explicitNone: "None" }[cookie.sameSite ?? ""]; // "none": leave it out
  if (sameSite !== undefined) parts.push(`SameSite=${sameSite}`);
  return parts.join("; ");
}

function toNullable(
  values: Readonly<Record<string, string>>,
): Readonly<Record<string, { readonly value: string }>> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }]));
}
