// HTTPS to push services, for senders whose push channels are URLs. The host has to be on the list, the connection goes
// to an address that was judged, and the peer's certificate is always verified (R130 to R137). It never uses a proxy
// from the environment, never follows a redirect and sends no cookies.
import { lookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { createSecureContext, getCACertificates, type SecureContextOptions } from "node:tls";
import { createDeadline, withDeadline } from "../base/deadline.ts";
import { err, ok, type Result } from "../base/result.ts";
import { toBareHost } from "../base/url.ts";
import { type HostRule } from "../config/hostRules.ts";
import { isAllowedAddress, judgeUrl, type UrlRefusal } from "./addresses.ts";
import { createHttp1Connections } from "./http1Connections.ts";
import { createHttp2Sessions } from "./http2Sessions.ts";
import type { HttpCall, TransportAnswer } from "./httpCall.ts";
import { CUT_OFF } from "./sender.ts";

export interface PinnedTransportOptions {
  readonly hosts: readonly HostRule[];
  /** PEM certificates of authorities that are trusted in addition to the system's (EXTRA_CA_FILE). */
  readonly extraAuthorities?: readonly string[];
  /** A client certificate for mutual TLS, or authorities instead of the system's (`ca`). */
  readonly tls?: Pick<SecureContextOptions, "cert" | "key" | "ca">;
  /** How names are resolved; tests replace it. */
  readonly resolve?: Resolve;
  /** Offers HTTP/2 in the TLS handshake. HTTP/1.1 is used if the server does not choose HTTP/2, or if this is not set. */
  readonly offersHttp2?: boolean;
  /** The longest that one call may take, in milliseconds (R115). */
  readonly timeoutMs?: number;
  /** How long an idle connection is kept, in milliseconds. */
  readonly keepAliveMs?: number;
  /** How long a server's choice of HTTP/1.1 is remembered, in milliseconds. */
  readonly choiceMs?: number;
}

/** All addresses of a name. Rejects when there are none. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>;

interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

interface TransportRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

interface TransportFailure {
  /** `refused`: not an allowed URL, so nothing was looked up or sent. `failed`: no answer came. */
  readonly kind: "refused" | "failed";
  /** Our own words or an error's code: never text of the other side. */
  readonly cause: string;
}

export interface PinnedTransport {
  /**
   * Judges a URL, and the addresses that its host has at the moment. A name that cannot be resolved now is admitted: each
   * connection is judged again.
   */
  readonly judge: (url: string, signal: AbortSignal) => Promise<Result<URL, UrlRefusal | AddressRefusal>>;
  /** One POST. Throws only for a bug. */
  readonly post: (request: TransportRequest) => Promise<Result<TransportAnswer, TransportFailure>>;
  /** Closes the connections. */
  readonly close: () => Promise<void>;
}

type AddressRefusal = "must not be of a host with private addresses";

/** The `cause` when a host resolved to an address that is not allowed. Nothing was connected to. */
export const ADDRESS_REFUSED = "address_refused";

const CALL_TIMEOUT_MS = 5_000;
/** Shorter than the four minutes after which Azure's load balancers drop an idle connection. */
const KEEP_ALIVE_MS = 60_000;
const CHOICE_MS = 3_600_000;

export function createPinnedTransport(options: PinnedTransportOptions): PinnedTransport {
  const { hosts, offersHttp2, resolve = resolveAll } = options;
  const { timeoutMs = CALL_TIMEOUT_MS, keepAliveMs = KEEP_ALIVE_MS, choiceMs = CHOICE_MS } = options;
  const secureContext = createSecureContext(toTlsOptions(options));
  const http1 = createHttp1Connections({ secureContext, keepAliveMs, choiceMs });
  const http2 =
    offersHttp2 === true ? createHttp2Sessions({ secureContext, keepAliveMs, timeoutMs, http1 }) : undefined;
  const callOptions: CallOptions = { exchange: (http2 ?? http1).post, hosts, resolve, timeoutMs };
  return {
    judge: (url, signal) => judge(url, hosts, resolve, signal),
    post: (request) => post(callOptions, request),
    close: () => {
      http2?.close();
      http1.close();
      return Promise.resolve();
    },
  };
}

async function judge(
  text: string,
  hosts: readonly HostRule[],
  resolve: Resolve,
  signal: AbortSignal,
): Promise<Result<URL, UrlRefusal | AddressRefusal>> {
  const allowed = judgeUrl(text, hosts);
  if (!allowed.ok) return allowed;
  const { url, rule } = allowed.value;
  try {
    await withDeadline(resolveAllowed(toBareHost(url), rule, resolve), signal);
  } catch (error) {
    if (error instanceof AddressRefusedError) return err("must not be of a host with private addresses");
  }
  return ok(url);
}

/** A host resolved to an address that is not allowed. */
class AddressRefusedError extends Error {
  readonly code = ADDRESS_REFUSED;
}

/** One address that is not allowed spoils all: a name of a push service never has one. */
async function resolveAllowed(
  host: string,
  rule: HostRule,
  resolve: Resolve,
): Promise<readonly ResolvedAddress[]> {
  const family = isIP(host);
  const addresses = family === 0 ? await resolve(host) : [{ address: host, family }];
  if (addresses.length === 0 || !addresses.every(({ address }) => isAllowedAddress(address, rule)))
    throw new AddressRefusedError("the host has an address that is not allowed");
  return addresses;
}

function resolveAll(hostname: string): Promise<readonly ResolvedAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(hostname, { all: true, order: "verbatim" }, (error, addresses) => {
      if (error === null) resolve(addresses);
      else reject(error);
    });
  });
}

/** A socket connects to the addresses that were judged: its own look-up answers those, and no others (R133). */
function createLookup(rule: HostRule, resolve: Resolve): LookupFunction {
  return (hostname, { all }, callback) => {
    const answer = async () => {
      let addresses: readonly ResolvedAddress[];
      try {
        addresses = await resolveAllowed(hostname, rule, resolve);
      } catch (error) {
        callback(error as NodeJS.ErrnoException, "");
        return;
      }
      const [first = { address: "", family: 0 }] = addresses;
      if (all === true) callback(null, [...addresses]);
      else callback(null, first.address, first.family);
    };
    void answer();
  };
}

function toTlsOptions({ tls = {}, extraAuthorities = [] }: PinnedTransportOptions): SecureContextOptions {
  const own = tls.ca === undefined ? undefined : [tls.ca].flat();
  // Naming authorities replaces the system's, so those are named too.
  const ca =
    extraAuthorities.length === 0 ? own : [...(own ?? getCACertificates("default")), ...extraAuthorities];
  return { ...tls, ...(ca === undefined ? {} : { ca }), minVersion: "TLSv1.2" };
}

interface CallOptions {
  /** Makes one call, over HTTP/2 or HTTP/1.1. */
  readonly exchange: (call: HttpCall) => Promise<TransportAnswer>;
  readonly hosts: readonly HostRule[];
  readonly resolve: Resolve;
  readonly timeoutMs: number;
}

async function post(
  { exchange, hosts, resolve, timeoutMs }: CallOptions,
  { url: text, headers, body, signal }: TransportRequest,
): Promise<Result<TransportAnswer, TransportFailure>> {
  const allowed = judgeUrl(text, hosts);
  if (!allowed.ok) return err({ kind: "refused", cause: ADDRESS_REFUSED });
  const { url, rule } = allowed.value;
  const host = toBareHost(url);
  // A socket asks for no look-up of a literal address, so that is judged here.
  if (isIP(host) !== 0 && !isAllowedAddress(host, rule))
    return err({ kind: "failed", cause: ADDRESS_REFUSED });
  if (signal.aborted) return err({ kind: "failed", cause: CUT_OFF });
  const deadline = createDeadline(timeoutMs, signal);
  try {
    return ok(
      await exchange({ url, headers, body, lookup: createLookup(rule, resolve), signal: deadline.signal }),
    );
  } catch (error) {
    if (signal.aborted) return err({ kind: "failed", cause: CUT_OFF });
    if (deadline.signal.aborted) return err({ kind: "failed", cause: "timeout" });
    return err({ kind: "failed", cause: toErrorCode(error) });
  } finally {
    deadline.clear();
  }
}

/**
 * The code of an error of the network or of TLS; `tls_alert_NUMBER` where the peer ended the connection with a TLS alert
 * (RFC 8446 §6.2), which Node reports under several codes. What has no code did not come from there and is a bug.
 */
function toErrorCode(error: unknown): string {
  if (!(error instanceof Error && "code" in error && typeof error.code === "string")) throw error;
  const [, alert] = /SSL alert number (\d{1,3})/.exec(error.message) ?? [];
  return alert === undefined ? error.code : `tls_alert_${alert}`;
}
