// The client certificates of MPNS: read from the settings once, and checked at start and daily. The log lines are what
// the alerts go by (infra/modules/alerts.bicep). No I/O: settings, time and log are handed in.
import { X509Certificate } from "node:crypto";
import type { Log } from "../base/log.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { MpnsConfig } from "../config/mpns.ts";
import { DAY_MS } from "../domain/id.ts";
import {
  type CertificateFault,
  chooseCertificate,
  type ClientCertificate,
  judgeTime,
  readClientCertificate,
} from "./certificate.ts";
import { readMaterial } from "./certificatePem.ts";

export interface MpnsCertificates {
  /** Those that break no rule, whether they are valid now or not. None where another setting stops the sender. */
  readonly certificates: readonly ClientCertificate[];
  readonly faults: readonly CertificateFault[];
  /** PEM: the authorities of MPNS_CA. */
  readonly ca?: readonly string[];
}

/** From so many days before its end on, the line about a certificate is a warning. */
const WARNING_DAYS = 30;

/** @param extraAuthorities PEM: authorities of EXTRA_CA_FILE, which complete a chain too. */
export function readMpnsCertificates(
  config: MpnsConfig,
  extraAuthorities: readonly string[] = [],
): MpnsCertificates {
  const { serviceName, roots } = config;
  const authorities = readCa(config);
  const missing = config.missing.map(toMissing);
  if (!authorities.ok) return { certificates: [], faults: [authorities.error, ...missing] };
  if (serviceName === undefined) return { certificates: [], faults: missing };
  const known = [...authorities.value, ...extraAuthorities.map((pem) => new X509Certificate(pem))];
  const rules = { serviceName, authorities: known, ...(roots === undefined ? {} : { roots }) };
  const results = config.certificates.map((settings) => readClientCertificate(settings, rules));
  const ca = authorities.value.map((one) => one.toString());
  return {
    certificates: results.flatMap((result) => (result.ok ? [result.value] : [])),
    faults: [...results.flatMap((result) => (result.ok ? [] : [result.error])), ...missing],
    ...(ca.length === 0 ? {} : { ca }),
  };
}

function toMissing(setting: string): CertificateFault {
  return { setting, rule: "missing", error: "is missing" };
}

function readCa({ ca }: MpnsConfig): Result<readonly X509Certificate[], CertificateFault> {
  if (ca === undefined) return ok([]);
  const material = readMaterial(ca.reveal(), "");
  if (!material.ok) return err({ setting: "MPNS_CA", ...material.error });
  return material.value.certificates.length > 0
    ? ok(material.value.certificates)
    : err({ setting: "MPNS_CA", rule: "readable", error: "holds no certificate" });
}

/**
 * One line for each certificate, by what it is now: `certificate_checked` for the one in use, `certificate_refused` for
 * one that breaks a rule, `certificate_idle` for one that waits for its time or that a newer one has replaced. Without
 * any in use, also `sender_stopped`.
 */
export function checkCertificates({ certificates, faults }: MpnsCertificates, now: Date, log: Log): void {
  const inUse = chooseCertificate(certificates, now);
  const refused = [...faults];
  for (const certificate of certificates) {
    const { setting, validFrom, validTo } = certificate;
    const daysLeft = Math.floor((validTo.getTime() - now.getTime()) / DAY_MS);
    const fields = { setting, daysLeft, validFrom: validFrom.toISOString(), validTo: validTo.toISOString() };
    if (certificate === inUse) {
      const write = daysLeft < WARNING_DAYS ? log.warn : log.info;
      write("certificate_checked", fields);
    } else if (inUse !== undefined) log.info("certificate_idle", fields);
    else refused.push(toTimeFault(certificate, now));
  }
  for (const fault of refused) log.error("certificate_refused", { ...fault });
  const [first] = refused;
  if (inUse === undefined && first !== undefined)
    log.error("sender_stopped", { sender: "mpns", setting: first.setting, error: first.error });
}

function toTimeFault(certificate: ClientCertificate, now: Date): CertificateFault {
  const { setting } = certificate;
  return judgeTime(certificate, now) === "not_before"
    ? { setting, rule: "not_before", error: "is not valid yet, or an intermediate certificate is not" }
    : { setting, rule: "not_after", error: "has expired, or an intermediate certificate has" };
}
