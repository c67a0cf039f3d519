// The emulated hub itself, without HTTP: its installations, its sends and their records. I/O: the timer of scheduled sends
// (schedule.ts).
import { randomBytes } from "node:crypto";
import type { InstallationStore } from "./installationStore.ts";
import { createPusher, type Pusher } from "./pusher.ts";
import { createSchedule } from "./schedule.ts";
import type { Send } from "./sendRequest.ts";
import type { SendRecord } from "./telemetry.ts";

export interface Hub extends Pick<Pusher, "deliveries" | "onDelivery" | "setOutcome"> {
  readonly installations: InstallationStore;
  readonly send: (send: Send, trackingId: string, maxDevices?: number) => SendRecord;
  readonly schedule: (send: Send, trackingId: string, dueAt: Date) => SendRecord;
  /** Answers whether there was something left to cancel. */
  readonly cancel: (id: string) => boolean;
  readonly findRecord: (id: string) => SendRecord | undefined;
  /** Pushes what is due by the hub's clock, which may be ahead of the timer's. */
  readonly pushDue: () => void;
  readonly clear: () => void;
  readonly close: () => void;
}

type NewRecord = Pick<SendRecord, "id" | "send" | "enqueuedAt">;

export function createHub(installations: InstallationStore, now: () => Date): Hub {
  const records = new Map<string, SendRecord>();
  const { push, clear: clearPushes, ...pusher } = createPusher(installations);
  const schedule = createSchedule(now);

  function toRecord(send: Send): NewRecord {
    const enqueuedAt = now();
    return { id: createMessageId(enqueuedAt), send, enqueuedAt };
  }

  function pushNow(base: NewRecord, trackingId: string, maxDevices?: number): SendRecord {
    const attempts = push(base.send, { trackingId, notificationId: base.id }, maxDevices);
    const state = attempts.length === 0 ? "NoTargetFound" : "Completed";
    const record = { ...base, state, pushedAt: now(), attempts } as const;
    records.set(base.id, record);
    return record;
  }

  return {
    ...pusher,
    installations,
    send: (send, trackingId, maxDevices) => pushNow(toRecord(send), trackingId, maxDevices),
    schedule: (send, trackingId, dueAt) => {
      const record = { ...toRecord(send), state: "Scheduled", attempts: [] } as const;
      records.set(record.id, record);
      schedule.add(record.id, dueAt, () => pushNow(record, trackingId));
      return record;
    },
    cancel: (id) => {
      const record = records.get(id);
      if (!schedule.remove(id) || record === undefined) return false;
      records.set(id, { ...record, state: "Cancelled" });
      return true;
    },
    findRecord: (id) => records.get(id),
    pushDue: schedule.runDue,
    clear: () => {
      clearPushes();
      records.clear();
      schedule.clear();
      installations.clear();
    },
    close: schedule.clear,
  };
}

/** NH-<yyyyMMddHHmmssfff>-<32 hexadecimal digits>-<2 digits>, as the service makes them. */
function createMessageId(at: Date): string {
  const digits = at.toISOString().replaceAll(/\D/g, "");
  return `NH-${digits}-${randomBytes(16).toString("hex")}-01`;
}
