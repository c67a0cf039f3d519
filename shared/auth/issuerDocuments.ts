// Fetches an issuer's discovery document and key set (OpenID Connect Discovery §4). I/O: HTTPS to the issuer.
//
// jose's own remote key set has no pause after a failed fetch, follows redirects and reads documents of any size. jose
// only verifies here; what is fetched, when and from where is decided in this file and in issuer.ts.
import { isSecure } from "../base/url.ts";
import { err, ok, type Result } from "../base/result.ts";
import { isMembers } from "./jws.ts";

const FETCH_TIMEOUT_MS = 5_000; // for both documents together
const MAX_DOCUMENT_BYTES = 256 * 1024;

export interface IssuerDocumentsOptions {
  /** The issuer's identifier. Its discovery document is below it. */
  readonly issuer: string;
  /** Development only: plain http to this machine is allowed. */
  readonly allowLoopback: boolean;
  readonly fetch?: typeof globalThis.fetch;
}

type Fetched = Promise<Result<unknown, string>>;

/** The issuer's key set, unparsed. The error is for the log and holds nothing that came from outside but a status. */
export async function fetchKeySet(options: IssuerDocumentsOptions): Fetched {
  const { issuer } = options;
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  // OpenID Connect Discovery §4.1: a slash at the end of the issuer is removed first.
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const discovery = await fetchDocument(address, "discovery", options, signal);
  if (!discovery.ok) return discovery;
  if (!isMembers(discovery.value)) return err("discovery_form");
  const { issuer: stated, jwks_uri: keySetAddress } = discovery.value;
  if (stated !== issuer) return err("discovery_of_another_issuer"); // §4.3
  if (typeof keySetAddress !== "string") return err("discovery_form");
  return fetchDocument(keySetAddress, "key_set", options, signal);
}

async function fetchDocument(
  address: string,
  name: "discovery" | "key_set",
  { allowLoopback, fetch = globalThis.fetch }: IssuerDocumentsOptions,
  signal: AbortSignal,
): Fetched {
  const url = URL.parse(address);
  if (url === null || !isAllowed(url, allowLoopback)) return err(`${name}_address_refused`);
  try {
    // Redirects are not followed: the keys would come from a place that nobody configured.
    const response = await fetch(url, {
      redirect: "manual",
      headers: { accept: "application/json" },
      signal,
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      return err(`${name}_status_${response.status}`);
    }
    const text = await readBounded(response);
    return text === undefined ? err(`${name}_too_large`) : ok(JSON.parse(text) as unknown);
  } catch (error) {
    if (signal.aborted) return err(`${name}_timeout`);
    return err(error instanceof SyntaxError ? `${name}_form` : `${name}_unreachable`);
  }
}

function isAllowed(url: URL, allowLoopback: boolean): boolean {
  return url.username === "" && url.password === "" && isSecure(url, allowLoopback);
}

/** `undefined` when the document is larger than allowed; the rest of it is not read. */
async function readBounded({ body }: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_DOCUMENT_BYTES) return undefined; // leaving the loop cancels the stream
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
