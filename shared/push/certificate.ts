// A TLS client certificate from the settings: reads it, checks it, and builds the chain that is sent with it. The rules
// are those of MPNS's authenticated channel (docs/mpns.md). No I/O: settings and the time are handed in.
import { type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext, getCACertificates } from "node:tls";
import { err, ok, type Result } from "../base/result.ts";
import { Secret } from "../base/secret.ts";
import type { CertificateSettings } from "../config/mpns.ts";
import { type CertificateMaterial, readMaterial } from "./certificatePem.ts";

export interface CertificateRules {
  /** What the common name has to be. */
  readonly serviceName: string;
  /** SHA-256 or SHA-1 fingerprints of the roots that the chain may end in: hexadecimal, upper case, no colons. */
  readonly roots?: readonly string[];
  /** Authorities that complete a chain, besides the certificates of the setting and the system's authorities. */
  readonly authorities: readonly X509Certificate[];
}

/** What a certificate broke. Alerts and docs/mpns.md go by these names. */
type CertificateRule =
  | "missing"
  | "readable"
  | "password"
  | "legacy_cipher"
  | "private_key"
  | "client_authentication"
  | "common_name"
  | "chain"
  | "root"
  | "tls"
  | "not_before"
  | "not_after";

/** `error` is for whoever set the setting, and holds nothing of its value. */
export interface CertificateFault {
  readonly setting: string;
  readonly rule: CertificateRule;
  readonly error: string;
}

export interface ClientCertificate {
  readonly setting: string;
  /** PEM: the certificate, then its intermediates, without the root. */
  readonly chain: string;
  /** PEM of PKCS #8, not encrypted. */
  readonly privateKey: Secret<string>;
  /** When the certificate itself begins: which of two is the newer. */
  readonly issuedAt: Date;
  /** The time in which it and all of its chain, root included, are valid. */
  readonly validFrom: Date;
  readonly validTo: Date;
}

const CLIENT_AUTHENTICATION = "1.3.6.1.5.5.7.3.2"; // id-kp-clientAuth, RFC 5280 §4.2.1.12
const MAX_CHAIN = 8;

/** Reads and checks all but the time, which `judgeTime` does again and again. */
export function readClientCertificate(
  settings: CertificateSettings,
  rules: CertificateRules,
): Result<ClientCertificate, CertificateFault> {
  const material = readSettings(settings);
  if (!material.ok) return material;
  const { setting } = settings;
  const refuse = (rule: CertificateRule, error: string) => err({ setting, rule, error });
  const { certificates } = material.value;
  if (certificates.length === 0) return refuse("readable", "holds no certificate");
  const pair = findPair(material.value);
  if (pair === undefined)
    return material.value.keys.length === 0
      ? refuse("private_key", "has no private key, neither beside it nor in the private key's setting")
      : refuse("private_key", "does not fit the private key");
  const { certificate, key } = pair;
  // An absent extension would allow any use (RFC 5280), but MPNS requires the purpose to be named.
  if (!(certificate.keyUsage ?? []).includes(CLIENT_AUTHENTICATION))
    return refuse(
      "client_authentication",
      "is not for client authentication (extended key usage 1.3.6.1.5.5.7.3.2)",
    );
  if (!hasCommonName(certificate, rules.serviceName))
    return refuse("common_name", "has another common name than MPNS_SERVICE_NAME");
  const chains = findChains(certificate, [...certificates, ...rules.authorities]);
  if (chains.length === 0)
    return refuse(
      "chain",
      "does not lead to a root: add the intermediate certificates, and a private authority's root",
    );
  const chain = chains.find((one) => isAllowedRoot(one.at(-1), rules.roots));
  if (chain === undefined) return refuse("root", "leads to a root that MPNS_ROOTS does not list");
  return toClientCertificate(setting, chain, key);
}

/** Whether a certificate can be used at a time. */
export function judgeTime(certificate: ClientCertificate, now: Date): "valid" | "not_before" | "not_after" {
  if (now < certificate.validFrom) return "not_before";
  return now > certificate.validTo ? "not_after" : "valid";
}

/** The newest that is valid at a time; of two of the same age the later one of the list. */
export function chooseCertificate(
  certificates: readonly ClientCertificate[],
  now: Date,
): ClientCertificate | undefined {
  return certificates
    .filter((certificate) => judgeTime(certificate, now) === "valid")
    .reduce<ClientCertificate | undefined>(
      (newest, one) => (newest === undefined || one.issuedAt >= newest.issuedAt ? one : newest),
      undefined,
    );
}

/** What is in the settings of one certificate, all together. */
function readSettings(settings: CertificateSettings): Result<CertificateMaterial, CertificateFault> {
  const password = settings.password?.reveal() ?? "";
  const certificates: X509Certificate[] = [];
  const keys: KeyObject[] = [];
  const sources = [{ setting: settings.setting, text: settings.certificate }, settings.privateKey];
  for (const source of sources) {
    if (source === undefined) continue;
    const material = readMaterial(source.text.reveal(), password);
    if (!material.ok) return err({ setting: source.setting, ...material.error });
    certificates.push(...material.value.certificates);
    keys.push(...material.value.keys);
  }
  return ok({ certificates, keys });
}

/** The certificate that a key fits: rather none of an authority, and rather the newest (renewed with its old key). */
function findPair({
  certificates,
  keys,
}: CertificateMaterial): { readonly certificate: X509Certificate; readonly key: KeyObject } | undefined {
  const candidates = certificates.toSorted(
    (a, b) => Number(a.ca) - Number(b.ca) || Date.parse(b.validFrom) - Date.parse(a.validFrom),
  );
  for (const certificate of candidates) {
    const key = keys.find((one) => certificate.checkPrivateKey(one));
    if (key !== undefined) return { certificate, key };
  }
  return undefined;
}

/** By the parsed name: the text form of a subject could be made to look like another. */
function hasCommonName(certificate: X509Certificate, serviceName: string): boolean {
  const { CN } = certificate.toLegacyObject().subject as { readonly CN?: string | readonly string[] };
  return CN === serviceName;
}

type Chain = readonly X509Certificate[];

/** All ways from a certificate to a root, each with both ends. The system's authorities come last. */
function findChains(certificate: X509Certificate, known: readonly X509Certificate[]): readonly Chain[] {
  const complete: Chain[] = [];
  const open: Chain[] = [[certificate]];
  let system: readonly X509Certificate[] | undefined;
  for (let chain = open.shift(); chain !== undefined; chain = open.shift()) {
    const last = chain.at(-1);
    if (last === undefined) continue;
    if (isIssuedBy(last, last)) {
      complete.push(chain);
      continue;
    }
    if (chain.length >= MAX_CHAIN) continue;
    const ways = known.filter((one) => !includes(chain, one) && isIssuedBy(last, one));
    system ??= ways.length > 0 ? undefined : readSystemAuthorities();
    const further = ways.length > 0 ? ways : (system ?? []).filter((one) => isIssuedBy(last, one));
    open.push(...further.map((one) => [...chain, one]));
  }
  return complete;
}

function includes(chain: Chain, certificate: X509Certificate): boolean {
  return chain.some(({ fingerprint256 }) => fingerprint256 === certificate.fingerprint256);
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false; // a key of a kind that this platform does not know
  }
}

/** Read only when a chain does not end in what the settings hold: it takes some 20 ms. */
function readSystemAuthorities(): readonly X509Certificate[] {
  return getCACertificates("default").map((pem) => new X509Certificate(pem));
}

function isAllowedRoot(root: X509Certificate | undefined, roots: readonly string[] | undefined): boolean {
  if (root === undefined) return false;
  if (roots === undefined) return true;
  return [root.fingerprint256, root.fingerprint].some((text) => roots.includes(text.replaceAll(":", "")));
}

function toClientCertificate(
  setting: string,
  chain: Chain,
  key: KeyObject,
): Result<ClientCertificate, CertificateFault> {
  const [certificate] = chain;
  if (certificate === undefined) throw new Error("a chain has at least one certificate");
  const sent = chain.length === 1 ? chain : chain.slice(0, -1); // the peer has the root, or does not trust it
  const pem = sent.map((one) => one.toString()).join("");
  const privateKey = new Secret(key.export({ type: "pkcs8", format: "pem" }).toString());
  try {
    // OpenSSL has limits of its own: short keys and old signatures. No authorities, so that it loads none.
    createSecureContext({ cert: pem, key: privateKey.reveal(), ca: [] });
  } catch {
    return err({ setting, rule: "tls", error: "cannot be used for TLS: its key or signature is too weak" });
  }
  return ok({
    setting,
    chain: pem,
    privateKey,
    issuedAt: toDate(certificate.validFrom),
    validFrom: new Date(Math.max(...chain.map((one) => Date.parse(one.validFrom)))),
    validTo: new Date(Math.min(...chain.map((one) => Date.parse(one.validTo)))),
  });
}

function toDate(text: string): Date {
  return new Date(Date.parse(text));
}
