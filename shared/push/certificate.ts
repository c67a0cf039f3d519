// Certificates that somebody has to renew in time, and the watch over them. No I/O: settings, clock and log are handed in.
import { X509Certificate } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { DAY_MS } from "../domain/id.ts";
import type { Log } from "../base/log.ts";
import type { Secret } from "../base/secret.ts";

/** A certificate as a setting holds it: PEM, and perhaps a private key beside it. */
export interface WatchedCertificate {
  readonly setting: string;
  readonly pem: Secret<string>;
}

export interface CertificateWatchOptions {
  readonly certificates: readonly WatchedCertificate[];
  readonly clock: Clock;
}

/** One line for each certificate, which names its setting and never holds its text. Never throws. */
export type WatchCertificates = (log: Log) => void;

/** The lines are what the alerts go by (infra/modules/alerts.bicep). */
export function createCertificateWatch({ certificates, clock }: CertificateWatchOptions): WatchCertificates {
  return (log) => {
    for (const { setting, pem } of certificates) {
      const endsAt = parseCertificateEnd(pem);
      if (endsAt === undefined) {
        log.error("certificate_unreadable", { setting });
        continue;
      }
      const daysLeft = Math.floor((endsAt.getTime() - clock.now().getTime()) / DAY_MS);
      log.info("certificate_checked", { setting, daysLeft });
    }
  };
}

/** When the first certificate of a PEM text ends; nothing where that cannot be read. What else stands there is left aside. */
function parseCertificateEnd(pem: Secret<string>): Date | undefined {
  try {
    // Not validToDate, which makes anything of a time that is none.
    const endsAt = new Date(new X509Certificate(pem.reveal()).validTo);
    return Number.isNaN(endsAt.getTime()) ? undefined : endsAt;
  } catch {
    return undefined; // its words may hold what it could not read
  }
}
