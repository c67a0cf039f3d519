// A certificate signing request for TLS client authentication (PKCS #10, RFC 2986). No I/O.
import "reflect-metadata"; // before @peculiar/x509, which needs it
import { webcrypto } from "node:crypto";
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from "@peculiar/x509";

export interface SigningRequest {
  /** PEM of PKCS #8. */
  readonly privateKey: string;
  /** PEM. */
  readonly request: string;
}

const ALGORITHMS = {
  p256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  rsa: {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 3072,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  },
} as const;
type KeyKind = keyof typeof ALGORITHMS;

export function isKeyKind(text: string): text is KeyKind {
  return Object.hasOwn(ALGORITHMS, text);
}

/** A host name in ASCII of at most 64 characters, as a common name may have (RFC 5280 appendix A.1). */
export function isServiceName(text: string): boolean {
  const label = /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/;
  return text.length <= 64 && text.split(".").every((part) => label.test(part));
}

/** With the name as common name and as subject alternative name. */
export async function createSigningRequest(name: string, kind: KeyKind): Promise<SigningRequest> {
  const algorithm = ALGORITHMS[kind];
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [name] }],
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([{ type: "dns", value: name }]),
    ],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    privateKey: `${PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
    request: `${request.toString("pem")}\n`,
  };
}
