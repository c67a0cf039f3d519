// Reads certificates and private keys as people put them into a setting: PEM whose line breaks became `\n`, spaces or
// nothing, quotes around it, base64 of a whole file, PFX. No I/O.
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { err, ok, type Result } from "../base/result.ts";
import { isPfx, openPfx, type PfxFault } from "./certificatePfx.ts";

export interface CertificateMaterial {
  readonly certificates: readonly X509Certificate[];
  readonly keys: readonly KeyObject[];
}

/** Why a text cannot be used: a rule, and words for whoever sets it, without anything of the text. */
export interface MaterialFault {
  readonly rule: "readable" | "password" | "legacy_cipher";
  readonly error: string;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----((?:(?!-----)[\s\S])*)-----END \1-----/g;
const PFX_FAULTS: Readonly<Record<PfxFault, MaterialFault>> = {
  unreadable: { rule: "readable", error: "is a PFX that cannot be read" },
  password: { rule: "password", error: "is a PFX that the password does not open" },
  legacy_cipher: {
    rule: "legacy_cipher",
    error:
      "is a PFX in a legacy cipher (RC2 or RC4). Convert it: openssl pkcs12 -legacy -in old.pfx -nodes -out all.pem; " +
      "then openssl pkcs12 -export -in all.pem -out new.pfx",
  },
  cipher: { rule: "readable", error: "is a PFX in a cipher that is not supported; export it with AES-256" },
};

/** Reads one setting. `password` opens a PFX and encrypted keys. */
export function readMaterial(text: string, password: string): Result<CertificateMaterial, MaterialFault> {
  const unquoted = stripQuotes(text);
  if (unquoted.startsWith("@Microsoft.KeyVault("))
    return err({
      rule: "readable",
      error:
        "is a Key Vault reference that the platform could not resolve (does the app's identity have access?)",
    });
  if (unquoted.includes("-----BEGIN")) return readPem(unquoted, password);
  const bytes = decodeBase64(unquoted);
  if (bytes === undefined)
    return err({ rule: "readable", error: "is neither PEM nor base64 of a PEM, DER or PFX file" });
  if (bytes.includes("-----BEGIN")) return readPem(bytes.toString("latin1"), password);
  if (isPfx(bytes)) {
    const opened = openPfx(bytes, password);
    return opened.ok ? opened : err(PFX_FAULTS[opened.error]);
  }
  return readDer(bytes);
}

function stripQuotes(text: string): string {
  const trimmed = text.replace(/^\uFEFF/, "").trim();
  const quoted = /^(["'`])([\s\S]*)\1$/.exec(trimmed);
  return quoted?.[2]?.trim() ?? trimmed;
}

/** Line breaks in any form are dropped; base64url counts too. */
function decodeBase64(text: string): Buffer | undefined {
  const compact = text.replaceAll(/\\+[rnt]|\s/g, "");
  return /^[A-Za-z0-9+/_-]{16,}={0,2}$/.test(compact) ? Buffer.from(compact, "base64") : undefined;
}

function readDer(bytes: Buffer): Result<CertificateMaterial, MaterialFault> {
  try {
    return ok({ certificates: [toCertificate(bytes)], keys: [] });
  } catch {
    // Not a certificate; perhaps a key.
  }
  try {
    return ok({ certificates: [], keys: [createPrivateKey({ key: bytes, format: "der", type: "pkcs8" })] });
  } catch {
    return err({ rule: "readable", error: "is base64, but not of a PEM, DER or PFX file" });
  }
}

function readPem(text: string, password: string): Result<CertificateMaterial, MaterialFault> {
  const certificates: X509Certificate[] = [];
  const keys: KeyObject[] = [];
  const blocks = [...text.matchAll(BLOCK)];
  if (blocks.length !== text.split("-----BEGIN").length - 1)
    return err({ rule: "readable", error: "holds a PEM block that is cut off" });
  for (const [, label = "", body = ""] of blocks)
    if (label.endsWith("PRIVATE KEY")) {
      const key = readPemKey(label, body, password);
      if (!key.ok) return key;
      keys.push(key.value);
    } else if (/^(?:X509 |TRUSTED )?CERTIFICATE$/.test(label)) {
      try {
        certificates.push(toCertificate(toPem("CERTIFICATE", body)));
      } catch {
        return err({ rule: "readable", error: "holds a certificate that cannot be read" });
      }
    } // parameters of a curve, public keys, requests: not needed
  return ok({ certificates, keys });
}

/** A certificate whose times are times. Throws what OpenSSL throws, which may hold text: do not show it. */
function toCertificate(source: Buffer | string): X509Certificate {
  const certificate = new X509Certificate(source);
  if ([certificate.validFrom, certificate.validTo].some((time) => Number.isNaN(Date.parse(time))))
    throw new Error("a time that is none");
  return certificate;
}

function readPemKey(label: string, body: string, password: string): Result<KeyObject, MaterialFault> {
  const isEncrypted = label.startsWith("ENCRYPTED") || body.includes("ENCRYPTED");
  if (isEncrypted && password === "")
    return err({ rule: "password", error: "holds an encrypted private key, and no password is set" });
  try {
    return ok(createPrivateKey({ key: toPem(label, body), format: "pem", passphrase: password }));
  } catch {
    return err(
      isEncrypted
        ? { rule: "password", error: "holds an encrypted private key that the password does not open" }
        : { rule: "readable", error: "holds a private key that cannot be read" },
    );
  }
}

/** One PEM block with the line breaks of RFC 7468, and before its data the headers of RFC 1421 that old keys have. */
function toPem(label: string, body: string): string {
  const text = body.replaceAll(/\\+[rnt]|\s/g, " ").trim();
  const [headers = "", type, info] = /^Proc-Type: ?(\S+) +DEK-Info: ?(\S+) +/.exec(text) ?? [];
  const head = headers === "" ? [] : [`Proc-Type: ${type}`, `DEK-Info: ${info}`, ""];
  const data = text.slice(headers.length).replaceAll(" ", "");
  const lines = data.match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...head, ...lines, `-----END ${label}-----`, ""].join("\n");
}
