// The emulated hub itself, without HTTP: what it holds, what it pushes and when. The only I/O is the timer of
// scheduled sends.
import { randomBytes } from "node:crypto";
import { type HubChannel, toChannel } from "./installation.ts";
import type { InstallationStore } from "./installationStore.ts";
import type { HubPlatform } from "./platforms.ts";
import {
  type Attempt,
  attemptPushes,
  type PushContent,
  type PushOutcomeName,
  toPushChannel,
} from "./pushService.ts";
import type { Send } from "./sendRequest.ts";
import type { SendRecord } from "./telemetry.ts";

/** What would have been pushed: one push that its push service would have taken. */
export interface Delivery extends PushContent {
  /** Of the request that sent it. */
  readonly trackingId: string;
  /** The hub's message ID. */
  readonly notificationId: string;
  readonly platform: HubPlatform;
  /** The handle; a browser's endpoint. */
  readonly pushChannel: string;
  /** A browser's keys. */
  readonly browserKeys?: { readonly p256dh: string; readonly auth: string };
  /** Not known for a direct send. */
  readonly installationId?: string;
  /** As UTF-8; the bytes themselves are in the request. */
  readonly body: string;
}

export interface Hub {
  readonly installations: InstallationStore;
  readonly deliveries: readonly Delivery[];
  readonly send: (send: Send, trackingId: string, maxDevices?: number) => SendRecord;
  readonly schedule: (send: Send, trackingId: string, dueAt: Date) => SendRecord;
  /** Answers whether there was something left to cancel. */
  readonly cancel: (id: string) => boolean;
  readonly findRecord: (id: string) => SendRecord | undefined;
  /** Pushes what is due by the hub's clock, which may be ahead of the timer's. */
  readonly pushDue: () => void;
  readonly onDelivery: (listener: (delivery: Delivery) => void) => () => void;
  readonly setOutcome: (pushChannel: string, outcome: PushOutcomeName) => void;
  readonly clear: () => void;
  readonly close: () => void;
}

/** setTimeout knows no longer wait. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export function createHub(installations: InstallationStore, now: () => Date): Hub {
  const deliveries: Delivery[] = [];
  const records = new Map<string, SendRecord>();
  const scheduled = new Map<string, { readonly trackingId: string; readonly dueAt: Date }>();
  const outcomes = new Map<string, PushOutcomeName>();
  const listeners = new Set<(delivery: Delivery) => void>();
  let timer: NodeJS.Timeout | undefined;

  function push(
    base: Pick<SendRecord, "id" | "send" | "enqueuedAt">,
    trackingId: string,
    maxDevices?: number,
  ): SendRecord {
    const attempts = attemptPushes(base.send, {
      installations: installations.listVisible(),
      outcomeOf: (pushChannel) => outcomes.get(pushChannel) ?? "Success",
      ...(maxDevices === undefined ? {} : { maxDevices }),
    });
    for (const attempt of attempts) settle(attempt, base.id, trackingId);
    const state = attempts.length === 0 ? "NoTargetFound" : "Completed";
    const record = { ...base, state, pushedAt: now(), attempts } as const;
    records.set(base.id, record);
    return record;
  }

  function settle(attempt: Attempt, notificationId: string, trackingId: string): void {
    const { platform, channel, installationId, outcome, content } = attempt;
    if (outcome === "Success" && content !== undefined) {
      const delivery = {
        trackingId,
        notificationId,
        platform,
        ...toAddress(channel),
        ...(installationId === undefined ? {} : { installationId }),
        ...content,
      };
      deliveries.push(delivery);
      for (const listener of listeners) listener(delivery);
    }
    if (installationId === undefined || (outcome !== "BadChannel" && outcome !== "ExpiredChannel")) return;
    const stored = installations.get(installationId);
    if (stored !== undefined && toPushChannel(toChannel(stored)) === toPushChannel(channel))
      installations.put(stored, true);
  }

  function pushDue(): void {
    for (const [id, { trackingId, dueAt }] of scheduled) {
      const record = records.get(id);
      if (dueAt > now() || record === undefined) continue;
      scheduled.delete(id);
      push(record, trackingId);
    }
    clearTimeout(timer);
    const next = Math.min(...[...scheduled.values()].map(({ dueAt }) => dueAt.getTime()));
    if (next === Infinity) return;
    const waitMs = Math.min(Math.max(next - now().getTime(), 1), MAX_TIMEOUT_MS);
    timer = setTimeout(pushDue, waitMs).unref();
  }

  function toRecord(send: Send): Pick<SendRecord, "id" | "send" | "enqueuedAt"> {
    const enqueuedAt = now();
    return { id: createMessageId(enqueuedAt), send, enqueuedAt };
  }

  return {
    installations,
    deliveries,
    send: (send, trackingId, maxDevices) => push(toRecord(send), trackingId, maxDevices),
    schedule: (send, trackingId, dueAt) => {
      const record = { ...toRecord(send), state: "Scheduled", attempts: [] } as const;
      records.set(record.id, record);
      scheduled.set(record.id, { trackingId, dueAt });
      pushDue();
      return record;
    },
    cancel: (id) => {
      const record = records.get(id);
      if (!scheduled.delete(id) || record === undefined) return false;
      records.set(id, { ...record, state: "Cancelled" });
      return true;
    },
    findRecord: (id) => records.get(id),
    pushDue,
    onDelivery: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    setOutcome: (pushChannel, outcome) => {
      outcomes.set(pushChannel, outcome);
    },
    clear: () => {
      deliveries.length = 0;
      for (const map of [records, scheduled, outcomes]) map.clear();
      installations.clear();
    },
    close: () => {
      scheduled.clear();
      clearTimeout(timer);
    },
  };
}

function toAddress(channel: HubChannel): Pick<Delivery, "pushChannel" | "browserKeys"> {
  if (typeof channel === "string") return { pushChannel: channel };
  const { endpoint, p256dh, auth } = channel;
  return { pushChannel: endpoint, browserKeys: { p256dh, auth } };
}

/** NH-<yyyyMMddHHmmssfff>-<32 hexadecimal digits>-<2 digits>, as the service makes them. */
function createMessageId(at: Date): string {
  const digits = at.toISOString().replaceAll(/\D/g, "");
  return `NH-${digits}-${randomBytes(16).toString("hex")}-01`;
}
