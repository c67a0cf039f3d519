// The MPNS sender against the local endpoint, with a clock that tests move and the lines that it logs.
import {
  createCertificateAuthority,
  type CertificateAuthority,
  type Identity,
} from "../../local/certificateAuthority.ts";
import { createMpnsEndpoint, type MpnsEndpoint } from "../../local/mpnsEndpoint.ts";
import type { Clock } from "../../shared/base/clock.ts";
import type { CallContext } from "../../shared/base/context.ts";
import { createLog } from "../../shared/base/log.ts";
import { readMpns } from "../../shared/config/mpns.ts";
import { type ConfigError, createSettingsReader } from "../../shared/config/settingsReader.ts";
import { createNotificationId } from "../../shared/domain/id.ts";
import type { Urgency } from "../../shared/domain/notification.ts";
import { createMpnsSender, type MpnsSender } from "../../shared/push/mpns.ts";
import type { PushMessage, PushOutcome } from "../../shared/push/sender.ts";

const DAY_MS = 86_400_000;

/** The endpoint's first service. */
export const SERVICE_NAME = "push.example.com";

export interface MpnsBench {
  readonly endpoint: MpnsEndpoint;
  /** Issued by the endpoint's own authority. */
  readonly intermediate: CertificateAuthority;
  /** An authority that the endpoint does not know. */
  readonly stranger: CertificateAuthority;
  readonly start: number;
  readonly inDays: (days: number) => Date;
  /** Milliseconds since 1970; set it to move the sender's clock. */
  time: number;
  readonly context: CallContext;
  /** A sender with the endpoint's own client certificate, or what the settings say instead. */
  readonly create: (settings?: Readonly<Record<string, string>>) => MpnsSender;
  readonly push: (sender: MpnsSender, channel?: string, message?: PushMessage) => Promise<PushOutcome>;
  /** The lines so far, or those of some events. */
  readonly eventsOf: (name: RegExp) => readonly Readonly<Record<string, unknown>>[];
  readonly text: () => string;
  readonly forgetLines: () => void;
  /** Closes the senders, forgets the lines, sets the clock back, and leaves the answers to the endpoint. */
  readonly reset: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export async function createMpnsBench(): Promise<MpnsBench> {
  const endpoint = await createMpnsEndpoint({ serviceNames: [SERVICE_NAME, "other.example.com"] });
  // Between two seconds: certificates end on whole ones.
  const start = Math.floor(Date.now() / 1000) * 1000 - 500;
  const inDays = (days: number) => new Date(start + days * DAY_MS);
  const senders: MpnsSender[] = [];
  const lines: string[] = [];
  const now = () => new Date(bench.time);
  const clock: Clock = { now, latest: now, observe: () => undefined, uncorrectedMs: () => bench.time };
  const log = createLog((_level, line) => lines.push(line), now);
  const bench: MpnsBench = {
    endpoint,
    intermediate: await endpoint.authority.issueAuthority("intermediate"),
    stranger: await createCertificateAuthority("stranger"),
    start,
    inDays,
    time: start,
    context: { log, signal: new AbortController().signal },
    create: (settings = {}) => {
      const errors: ConfigError[] = [];
      const config = readMpns(createSettingsReader({ ...endpoint.settings, ...settings }, errors));
      if (config === undefined || errors.length > 0) throw new Error(JSON.stringify(errors));
      const sender = createMpnsSender({ config, clock, log });
      senders.push(sender);
      return sender;
    },
    push: (sender, channel = endpoint.openChannel(), message = toMpnsMessage(start)) =>
      sender.push({ platform: "mpns", channel }, message, bench.context),
    eventsOf: (name) =>
      lines
        .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
        .filter(({ event }) => name.test(String(event))),
    text: () => lines.join("\n"),
    forgetLines: () => {
      lines.length = 0;
    },
    reset: async () => {
      endpoint.answerWith(undefined);
      lines.length = 0;
      bench.time = start;
      await Promise.all(senders.splice(0).map((sender) => sender.close()));
    },
    close: endpoint.close,
  };
  return bench;
}

export function toMpnsMessage(createdMs: number, urgency: Urgency = "normal"): PushMessage {
  const expiresAt = new Date(createdMs + DAY_MS);
  const notificationId = createNotificationId(new Date(createdMs), expiresAt);
  return { notificationId, expiresAt, urgency, display: "silent" };
}

/** A setting's text: the certificate, those of a chain, and the key. */
export function toPem({ certificate, privateKey }: Identity, ...chain: readonly Identity[]): string {
  return [certificate, ...chain.map((one) => one.certificate), privateKey].join("");
}

type Issue = Partial<Parameters<CertificateAuthority["issue"]>[0]>;

/** A client certificate for the service, or what the options say instead. */
export function issueClient(authority: CertificateAuthority, options: Issue = {}): Promise<Identity> {
  return authority.issue({ commonName: SERVICE_NAME, usages: ["client"], ...options });
}
