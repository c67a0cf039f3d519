// MPNS, the push service of Windows Phone 8, by its authenticated channel: HTTPS with a client certificate. Microsoft's
// own service is retired; private and compatible gateways speak the same protocol (docs/mpns.md). One push is one POST
// of the notification's ID to the channel URI.
import { createHash } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import type { CallContext } from "../base/context.ts";
import type { Log } from "../base/log.ts";
import type { MpnsConfig } from "../config/mpns.ts";
import type { NotificationId } from "../domain/id.ts";
import type { PushChannel } from "../domain/installation.ts";
import type { Urgency } from "../domain/notification.ts";
import { chooseCertificate, type ClientCertificate } from "./certificate.ts";
import { checkCertificates, readMpnsCertificates } from "./mpnsCertificates.ts";
import { toMpnsOutcome } from "./mpnsOutcome.ts";
import { createPinnedTransport, type PinnedTransport, type Resolve } from "./pinnedTransport.ts";
import type { Admission, PushMessage, PushOutcome, PushTarget, Registration, Sender } from "./sender.ts";

export interface MpnsSenderOptions {
  readonly config: MpnsConfig;
  /** PEM certificates of EXTRA_CA_FILE (authorities.ts). */
  readonly extraAuthorities?: readonly string[];
  readonly clock: Clock;
  /** Takes the lines of the check at start. */
  readonly log: Log;
  /** How names are resolved; tests replace it. */
  readonly resolve?: Resolve;
}

export interface MpnsSender extends Sender {
  /** Checks the certificates, at most once on a day: certificate_checked, certificate_refused, sender_stopped. */
  readonly checkDaily: (log: Log) => void;
  readonly close: () => Promise<void>;
}

const PLATFORMS = ["mpns"] as const;

/**
 * How soon a raw push is to reach the device: at once (3), within 450 seconds (13) or within 900 seconds (23). The
 * urgencies are RFC 8030's, where `normal` is a chat message, which nobody would delay.
 */
const NOTIFICATION_CLASS: Readonly<Record<Urgency, string>> = {
  high: "3",
  normal: "3",
  low: "13",
  "very-low": "23",
};

/**
 * TLS alerts of a server that rejects our certificate (RFC 8446 §6.2): bad, unsupported, revoked, expired or unknown
 * certificate, unknown authority, access denied, certificate required.
 */
const CERTIFICATE_ALERTS: ReadonlySet<string> = new Set(
  [42, 43, 44, 45, 46, 48, 49, 116].map((alert) => `tls_alert_${alert}`),
);

/** Checks the certificates and logs what they break. A sender without a valid one is stopped, alone. */
export function createMpnsSender(options: MpnsSenderOptions): MpnsSender {
  const { config, clock, log } = options;
  const read = readMpnsCertificates(config, options.extraAuthorities);
  const connections = createConnections(options, read.ca);
  const choose = () => chooseCertificate(read.certificates, clock.now());
  let checkedOn: string | undefined;
  const checkDaily = (to: Log) => {
    const today = clock.now().toISOString().slice(0, 10);
    if (checkedOn === today) return;
    checkedOn = today;
    checkCertificates(read, clock.now(), to);
  };
  checkDaily(log);
  return {
    name: "mpns",
    platforms: PLATFORMS,
    isServing: () => choose() !== undefined,
    admit: (registration, context) => admit(connections.of(choose()), registration, context),
    push: (target, message, context) => push(connections.of(choose()), target, { message, clock, context }),
    toDestination,
    checkDaily,
    close: connections.close,
  };
}

/** Connections by certificate. Those of a previous certificate finish their pushes, and close when they are idle. */
interface Connections {
  readonly of: (certificate: ClientCertificate | undefined) => PinnedTransport | undefined;
  readonly close: () => Promise<void>;
}

function createConnections(options: MpnsSenderOptions, ca: readonly string[] | undefined): Connections {
  const { config, extraAuthorities, resolve } = options;
  const opened = new Map<ClientCertificate, PinnedTransport>();
  const open = ({ chain, privateKey }: ClientCertificate) =>
    createPinnedTransport({
      hosts: config.hosts,
      tls: { cert: chain, key: privateKey.reveal(), ...(ca === undefined ? {} : { ca: [...ca] }) },
      ...(extraAuthorities === undefined ? {} : { extraAuthorities }),
      ...(resolve === undefined ? {} : { resolve }),
    });
  return {
    of: (certificate) => {
      if (certificate === undefined) return undefined;
      const transport = opened.get(certificate) ?? open(certificate);
      opened.set(certificate, transport);
      return transport;
    },
    close: async () => {
      for (const transport of opened.values()) await transport.close();
    },
  };
}

/** The channel URI's origin: one push service. */
function toDestination(channel: PushChannel): string {
  return typeof channel === "string" ? (URL.parse(channel)?.origin ?? "") : "";
}

/** Judges the channel URI's address (R130 to R133). */
async function admit(
  transport: PinnedTransport | undefined,
  { channel }: Registration,
  { signal }: CallContext,
): Promise<Admission> {
  if (transport === undefined) return { kind: "refused", detail: "platform: mpns is not served now" };
  if (typeof channel !== "string") return { kind: "refused", detail: "pushChannel: must be a channel URI" };
  const judged = await transport.judge(channel, signal);
  return judged.ok ? { kind: "admitted" } : { kind: "refused", detail: `pushChannel: ${judged.error}` };
}

interface Push {
  readonly message: PushMessage;
  readonly clock: Clock;
  readonly context: CallContext;
}

async function push(
  transport: PinnedTransport | undefined,
  { channel }: PushTarget,
  { message, clock, context }: Push,
): Promise<PushOutcome> {
  if (transport === undefined) return { kind: "transient", cause: "sender_stopped" };
  if (typeof channel !== "string") return { kind: "damaged", cause: "no_channel_uri" };
  const answer = await transport.post({
    url: channel,
    headers: toHeaders(message),
    body: Buffer.from(message.notificationId),
    signal: context.signal,
  });
  const destination = toDestination(channel);
  if (!answer.ok) {
    const { kind, cause } = answer.error;
    if (kind === "refused") return { kind: "damaged", cause };
    if (!CERTIFICATE_ALERTS.has(cause)) return { kind: "transient", cause };
    context.log.error("client_certificate_rejected", { sender: "mpns", destination, cause });
    return { kind: "credentials", status: 0 };
  }
  const outcome = toMpnsOutcome(answer.value, clock.now());
  if (outcome.kind !== "accepted") {
    const { status } = answer.value;
    context.log.warn("push_service_answer", { destination, status, ...toStatusFields(answer.value.headers) });
  }
  return outcome;
}

/** A raw push has no X-WindowsPhone-Target: a wrong one made MPNS expire the subscription (R127). */
function toHeaders({ notificationId, urgency }: PushMessage): Readonly<Record<string, string>> {
  return {
    "Content-Type": "application/octet-stream",
    "X-MessageID": toMessageId(notificationId),
    "X-NotificationClass": NOTIFICATION_CLASS[urgency],
  };
}

/** A GUID that is the same each time a notification is pushed: UUID version 8 (RFC 9562 §5.8). */
function toMessageId(notificationId: NotificationId): string {
  const bytes = createHash("sha256").update(`mpns message ${notificationId}`).digest().subarray(0, 16);
  bytes[6] = 0x80 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** MPNS's three headers, as far as they are words: anything else is text of the other side. */
function toStatusFields(
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string | undefined>> {
  const word = (name: string) => /^[A-Za-z ]{1,30}$/.exec(headers[name] ?? "")?.[0];
  return {
    notificationStatus: word("x-notificationstatus"),
    deviceStatus: word("x-deviceconnectionstatus"),
    subscriptionStatus: word("x-subscriptionstatus"),
  };
}
