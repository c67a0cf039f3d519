// EXTRA_CA_FILE: authorities for outgoing TLS in addition to the system's, for tests and company networks. I/O: reads
// that one file, once at start.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { err, ok, type Result } from "../base/result.ts";
import type { SettingsReader } from "./settingsReader.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of the file, each in PEM; absent if the setting is. A file that cannot be used stops the start. */
export function readExtraAuthorities(read: SettingsReader): readonly string[] | undefined {
  const path = read.text("EXTRA_CA_FILE");
  if (path === undefined) return undefined;
  const certificates = readCertificates(path);
  if (certificates.ok) return certificates.value;
  read.report("EXTRA_CA_FILE", certificates.error);
  return undefined;
}

/** The error says what is wrong, without the file's name or content. */
function readCertificates(path: string): Result<readonly string[], string> {
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
