// A certificate authority for development and tests: issues certificates for servers and clients, and intermediate
// authorities. The keys are P-256. No I/O.
import "reflect-metadata"; // before @peculiar/x509, which needs it
import { webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type GeneralNameType,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  Pkcs10CertificateRequest,
  type PublicKey,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

/** A certificate with its private key, both PEM. */
export interface Identity {
  readonly certificate: string;
  readonly privateKey: string;
}

interface IssueOptions {
  readonly commonName: string;
  /** Subject alternative names; an IPv4 address counts as one. Default: none. */
  readonly names?: readonly string[];
  /** Extended key usage; none: without the extension. */
  readonly usages: readonly ("client" | "server")[];
  /** Default: from an hour ago, for a year. */
  readonly validFrom?: Date;
  readonly validTo?: Date;
}

export interface CertificateAuthority extends Identity {
  readonly issue: (options: IssueOptions) => Promise<Identity>;
  readonly issueAuthority: (commonName: string) => Promise<CertificateAuthority>;
  /** Signs a request (PKCS #10, PEM) for the name and with the extensions that it asks for. PEM. */
  readonly signRequest: (request: string) => Promise<string>;
  /** A second certificate for an authority's name and key. PEM. */
  readonly crossSign: (authority: Identity) => Promise<string>;
}

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const USAGES = { client: ExtendedKeyUsage.clientAuth, server: ExtendedKeyUsage.serverAuth } as const;

/** A new root. */
export async function createCertificateAuthority(commonName: string): Promise<CertificateAuthority> {
  return toAuthority(await sign({ commonName, extensions: toAuthorityExtensions() }));
}

interface Signer extends Identity {
  readonly signingKey: webcrypto.CryptoKey;
}

function toAuthority(signer: Signer): CertificateAuthority {
  const { certificate, privateKey } = signer;
  return {
    certificate,
    privateKey,
    issue: async ({ commonName, names = [], usages, validFrom, validTo }) => {
      const { signingKey: _, ...identity } = await sign(
        { commonName, extensions: toExtensions(names, usages), validFrom, validTo },
        signer,
      );
      return identity;
    },
    issueAuthority: async (name) =>
      toAuthority(await sign({ commonName: name, extensions: toAuthorityExtensions() }, signer)),
    signRequest: (request) => {
      const { subjectName, publicKey, extensions } = new Pkcs10CertificateRequest(request);
      return toCertificate({ subject: subjectName.toJSON(), publicKey, extensions }, toIssuer(signer));
    },
    crossSign: async (authority) => {
      const { subjectName, publicKey } = new X509Certificate(authority.certificate);
      const subject = subjectName.toJSON();
      return toCertificate({ subject, publicKey, extensions: toAuthorityExtensions() }, toIssuer(signer));
    },
  };
}

function toAuthorityExtensions(): readonly Extension[] {
  return [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
  ];
}

function toExtensions(names: readonly string[], usages: IssueOptions["usages"]): readonly Extension[] {
  const alternatives = names.map((value): { readonly type: GeneralNameType; readonly value: string } =>
    /^[\d.]+$/.test(value) ? { type: "ip", value } : { type: "dns", value },
  );
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    ...(usages.length === 0 ? [] : [new ExtendedKeyUsageExtension(usages.map((usage) => USAGES[usage]))]),
    ...(alternatives.length === 0 ? [] : [new SubjectAlternativeNameExtension(alternatives)]),
  ];
}

interface SignOptions {
  readonly commonName: string;
  readonly extensions: readonly Extension[];
  readonly validFrom?: Date | undefined;
  readonly validTo?: Date | undefined;
}

/** For a new key. Without a signer the certificate is signed by its own key. */
async function sign({ commonName, ...options }: SignOptions, signer?: Signer): Promise<Signer> {
  const { publicKey, privateKey } = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const subject = [{ CN: [commonName] }];
  const issuer = signer === undefined ? { name: subject, signingKey: privateKey } : toIssuer(signer);
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", privateKey);
  return {
    certificate: await toCertificate({ ...options, subject, publicKey }, issuer),
    privateKey: `${PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
    signingKey: privateKey,
  };
}

type Name = ReturnType<X509Certificate["subjectName"]["toJSON"]>;

interface Issuer {
  readonly name: Name;
  readonly signingKey: webcrypto.CryptoKey;
}

function toIssuer({ certificate, signingKey }: Signer): Issuer {
  return { name: new X509Certificate(certificate).subjectName.toJSON(), signingKey };
}

interface CertificateContent extends Omit<SignOptions, "commonName"> {
  readonly subject: Name;
  readonly publicKey: webcrypto.CryptoKey | PublicKey;
}

async function toCertificate(content: CertificateContent, { name, signingKey }: Issuer): Promise<string> {
  const { subject, publicKey, extensions, validFrom = new Date(Date.now() - HOUR_MS), validTo } = content;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: toSerialNumber(),
    subject,
    issuer: name,
    notBefore: validFrom,
    notAfter: validTo ?? new Date(validFrom.getTime() + YEAR_MS),
    publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    extensions: [...extensions],
  });
  return `${certificate.toString("pem")}\n`;
}

/** Positive, and unlike any other (RFC 5280 §4.1.2.2). */
function toSerialNumber(): string {
  return `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString("hex")}`;
}
