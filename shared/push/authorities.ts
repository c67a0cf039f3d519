// EXTRA_CA_FILE: authorities for outgoing TLS in addition to the system's, for tests and company networks. Reads one
// file, once at start.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { err, ok, type Result } from "../base/result.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM file. The error says what is wrong, without the file's name or content. */
export function readAuthorities(path: string): Result<readonly string[], string> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return err("names a file that cannot be read");
  }
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) return err("names a file without a PEM certificate");
  try {
    for (const certificate of certificates) void new X509Certificate(certificate);
  } catch {
    return err("names a file with a certificate that cannot be read");
  }
  return ok(certificates);
}
