// The settings of MPNS (docs/mpns.md). A certificate is taken as it is given: one that cannot be used stops this sender
// alone, so shared/push/ judges it. No I/O: the environment is handed in.
import { Secret } from "../base/secret.ts";
import { type HostRule, readHostRules } from "./hostRules.ts";
import type { Check, SettingsReader } from "./settingsReader.ts";

/** The settings of one certificate, as they are given. */
export interface CertificateSettings {
  /** The name of the certificate's setting, for the log. */
  readonly setting: string;
  /** PEM, or base64 of a PEM, DER or PFX file. The private key may be in it. */
  readonly certificate: Secret<string>;
  readonly privateKey?: { readonly setting: string; readonly text: Secret<string> };
  /** Opens a PFX or an encrypted private key. */
  readonly password?: Secret<string>;
}

export interface MpnsConfig {
  /** The current certificate and the next one, of which one may be absent. */
  readonly certificates: readonly CertificateSettings[];
  /** Names of settings that are missing beside those that are given. */
  readonly missing: readonly string[];
  /** What the app passes to `HttpNotificationChannel`. */
  readonly serviceName?: string;
  /** PEM: the authorities that servers are verified against, instead of the system's. */
  readonly ca?: Secret<string>;
  /** Fingerprints of allowed roots: hexadecimal, upper case, without colons. */
  readonly roots?: readonly string[];
  readonly hosts: readonly HostRule[];
}

/** Microsoft's retired service, whose channel URIs had these hosts. */
const DEFAULT_MPNS_HOSTS = "*.notify.live.net";

const SLOTS = [
  { certificate: "MPNS_CERTIFICATE", privateKey: "MPNS_PRIVATE_KEY", password: "MPNS_CERTIFICATE_PASSWORD" },
  {
    certificate: "MPNS_CERTIFICATE_NEXT",
    privateKey: "MPNS_PRIVATE_KEY_NEXT",
    password: "MPNS_CERTIFICATE_NEXT_PASSWORD",
  },
] as const;

/**
 * Without any setting of a certificate, and without a service name, there is no MPNS. An error in the list of hosts or of
 * roots stops the start.
 */
export function readMpns(read: SettingsReader): MpnsConfig | undefined {
  const hosts = readHostRules(read, "MPNS_HOSTS", DEFAULT_MPNS_HOSTS);
  const roots = read
    .list("MPNS_ROOTS", checkFingerprint)
    ?.map((text) => text.replaceAll(":", "").toUpperCase());
  const slots = SLOTS.map((slot) => readSlot(read, slot));
  const certificates = slots.flatMap(({ certificate }) => certificate ?? []);
  const serviceName = read.asGiven("MPNS_SERVICE_NAME");
  const ca = read.asGiven("MPNS_CA");
  const missing = new Set(slots.flatMap((slot) => slot.missing ?? []));
  if (certificates.length === 0 && serviceName !== undefined) missing.add("MPNS_CERTIFICATE");
  if (certificates.length > 0 && serviceName === undefined) missing.add("MPNS_SERVICE_NAME");
  if (certificates.length === 0 && missing.size === 0) return undefined;
  return {
    certificates,
    missing: [...missing],
    hosts,
    ...(serviceName === undefined ? {} : { serviceName }),
    ...(ca === undefined ? {} : { ca: new Secret(ca) }),
    ...(roots === undefined ? {} : { roots }),
  };
}

interface Slot {
  readonly certificate?: CertificateSettings;
  /** The name of the certificate's setting, where only its key or password is given. */
  readonly missing?: string;
}

function readSlot(read: SettingsReader, slot: (typeof SLOTS)[number]): Slot {
  const certificate = read.asGiven(slot.certificate);
  const privateKey = read.asGiven(slot.privateKey);
  const password = read.asGiven(slot.password);
  if (certificate === undefined)
    return privateKey === undefined && password === undefined ? {} : { missing: slot.certificate };
  return {
    certificate: {
      setting: slot.certificate,
      certificate: new Secret(certificate),
      ...(privateKey === undefined
        ? {}
        : { privateKey: { setting: slot.privateKey, text: new Secret(privateKey) } }),
      ...(password === undefined ? {} : { password: new Secret(password) }),
    },
  };
}

/** SHA-256, or SHA-1 as Windows shows thumbprints. */
const checkFingerprint: Check = (text) =>
  /^(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$/.test(text.replaceAll(":", ""))
    ? undefined
    : "must be a comma list of SHA-256 or SHA-1 fingerprints in hexadecimal";
