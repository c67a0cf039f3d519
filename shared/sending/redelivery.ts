// redeliverPushes: works through the outbox. Any number of passes may run at once: a row is claimed under its etag, for a
// time that ends by itself. I/O through what is handed in.
import type { CallContext } from "../base/context.ts";
import type { Clock } from "../base/clock.ts";
import { createDeadline, mapBounded } from "../base/deadline.ts";
import { DEAD_KEPT_MS, type Delivery, HUB, type HeldSend } from "./delivery.ts";
import type { Erase } from "./erasing.ts";
import { DAY_MS, type NotificationId } from "../domain/id.ts";
import type { Installations } from "../devices/installations.ts";
import type { Limits } from "../config/config.ts";
import { type Log, toCause } from "../base/log.ts";
import { toBackOffMs, toRenewedRow } from "../outbox/outbox.ts";
import type { PushMessage, PushOutcome } from "../push/sender.ts";
import type { ListedOutboxRow, OutboxRow, Store } from "../store/store.ts";

/** Waits, and rejects when the signal ends first. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

export interface RedeliveryOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly delivery: Delivery;
  readonly installations: Installations;
  readonly erase: Erase;
  readonly sleep: Sleep;
}

/**
 * One pass: what is due, and for up to 50 s what falls due meanwhile. It may run twice at once, be killed and be missed.
 * When `stopping` ends it takes nothing new and ends early; what is under way has the time of `signal`.
 */
export type Redeliver = (log: Log, stopping: AbortSignal, signal: AbortSignal) => Promise<void>;

/** A row in work: how it is named in the log, and the version that is ours. */
interface Held {
  readonly key: ListedOutboxRow["key"];
  readonly etag: string;
  readonly row: OutboxRow;
}

const LINGER_MS = 50_000;
/** It looks again after so long at the latest. */
const MAX_PAUSE_MS = 5_000;
const MIN_PAUSE_MS = 100;
/** What one look takes up (R150). */
const MAX_ROWS = 256;
const MAX_PARALLEL_ROWS = 6;
const MAX_PARALLEL_SETTLING = 4;
/** How long a row is ours, and how long its work may take. */
const ROW_LEASE_MS = 30_000;
const ROW_TIMEOUT_MS = 20_000;
/** Of that, the pushes; the rest is for noting what came of them. */
const PUSHES_TIMEOUT_MS = 10_000;
/** No sender is believed to be away for longer (design.md: at most an hour ahead). */
const MAX_PAUSE_MS_AHEAD = 3_600_000;
/** As the hub is asked no more in this pass: so many tries in a row that found it away. */
const MAX_TRANSIENT = 3;
const UNREADABLE_AGAIN_MS = 3_600_000;
/** What waits for one moment comes back over this time. */
const SPREAD_MS = 10_000;
const DEFAULT_STOP_MS = 30_000;

export function createRedeliver(options: RedeliveryOptions): Redeliver {
  const { store, clock, limits, delivery, installations, erase, sleep } = options;

  return async (log, stopping, signal) => {
    const startedMs = clock.uncorrectedMs();
    const lingerLeftMs = () => startedMs + LINGER_MS - clock.uncorrectedMs();
    const hub = createGate(clock, await readPause(signal));
    const counts = { done: 0, postponed: 0, left: 0 };
    while (!stopping.aborted) {
      const leftBefore = counts.left;
      const due = await store.listDue(clock.now(), MAX_ROWS, signal);
      const takeAll = (rows: readonly ListedOutboxRow[]) =>
        mapBounded(rows, MAX_PARALLEL_ROWS, async (listed) => {
          if (stopping.aborted || lingerLeftMs() <= 0) return;
          counts[await takeUp(listed, hub, log, signal)]++;
        });
      // Who holds which device first: what is pushed by tag goes to whom the hub takes for its owner (P7).
      await takeAll(due.filter(isTask));
      await takeAll(due.filter((listed) => !isTask(listed)));
      // A store that refuses every write is not asked again and again.
      const isStuck = due.length > 0 && counts.left - leftBefore === due.length;
      if (isStuck || lingerLeftMs() <= 0) break;
      if (due.length === MAX_ROWS) continue;
      const soon = await store.listDue(new Date(clock.now().getTime() + lingerLeftMs()), MAX_ROWS, signal);
      const next = Math.min(...soon.filter(isWaiting).map(({ dueAt }) => dueAt?.getTime() ?? Infinity));
      if (next === Infinity) break;
      const waitMs = Math.min(
        Math.max(next - clock.now().getTime(), MIN_PAUSE_MS),
        MAX_PAUSE_MS,
        lingerLeftMs(),
      );
      await sleep(waitMs, AbortSignal.any([stopping, signal])).catch(() => undefined);
      signal.throwIfAborted();
    }
    await report(counts, { log, signal });
  };

  /** Does one row's work; a failure is that row's alone (R113). */
  async function takeUp(
    listed: ListedOutboxRow,
    hub: Gate,
    log: Log,
    passSignal: AbortSignal,
  ): Promise<"done" | "postponed" | "left"> {
    const { key, etag, value } = listed;
    const deadline = createDeadline(ROW_TIMEOUT_MS);
    const signal = AbortSignal.any([passSignal, deadline.signal]);
    const rowLog = log.with(value?.work.kind === "send" ? { notificationId: key } : { task: key });
    try {
      const now = clock.now();
      if (value === undefined) {
        rowLog.error("row_damaged", { table: "outbox" });
        await store.postponeUnreadable(listed, new Date(now.getTime() + UNREADABLE_AGAIN_MS), signal);
        return "postponed";
      }
      const stoppedUntil = needsHub(value, now) ? hub.stoppedUntil() : undefined;
      if (stoppedUntil !== undefined) {
        await store.putOutbox(key, { ...value, dueAt: spread(stoppedUntil) }, etag, signal);
        return "postponed";
      }
      const row = toRenewedRow(value, clock, ROW_LEASE_MS);
      const claimed = await store.putOutbox(key, row, etag, signal);
      if (claimed === undefined) return "postponed"; // somebody else's
      return await work({ key, etag: claimed, row }, hub, { log: rowLog, signal });
    } catch (error) {
      passSignal.throwIfAborted();
      // Its lease ends by itself; then it is tried again.
      rowLog.warn("row_left", { cause: toCause(error) });
      return "left";
    } finally {
      deadline.clear();
    }
  }

  async function work(held: Held, hub: Gate, { log, signal }: CallContext): Promise<"done" | "postponed"> {
    const { key, etag, row } = held;
    if (row.work.kind === "send")
      return redeliver({ id: key as NotificationId, etag, row: { ...row, work: row.work } }, hub, {
        log,
        signal,
      });
    const isDone = await doTask(row, { log, signal });
    if (isDone) {
      await store.deleteOutbox(key, etag, signal);
      return "done";
    }
    const { leaseUntil: _, dueAt: __, ...rest } = row;
    if (clock.now().getTime() - row.createdAt.getTime() > limits.installationTtlDays * DAY_MS) {
      // By now the hub has forgotten by itself what it was to be told of.
      const dropAfter = new Date(clock.now().getTime() + DEAD_KEPT_MS);
      await store.putOutbox(key, { ...rest, reason: "abandoned", dropAfter }, etag, signal);
      log.error("task_given_up", { kind: row.work.kind, attempts: row.attempts });
      return "done";
    }
    if (row.work.kind === "settle") hub.note({ kind: "transient", cause: "task" });
    return postpone({ key, etag, row }, signal);
  }

  /** Has it come up again after its back-off. */
  async function postpone({ key, etag, row }: Held, signal: AbortSignal): Promise<"postponed"> {
    const { leaseUntil: _, ...rest } = row;
    const dueAt = new Date(clock.now().getTime() + toBackOffMs(row.attempts));
    await store.putOutbox(key, { ...rest, attempts: row.attempts + 1, dueAt }, etag, signal);
    return "postponed";
  }

  async function doTask({ work: task }: OutboxRow, { log, signal }: CallContext): Promise<boolean> {
    if (task.kind === "settle") return (await installations.settle(task, { log, signal })).ok;
    if (task.kind === "erase") return erase(task, { log, signal });
    throw new Error("not a task");
  }

  async function redeliver(
    held: HeldSend,
    hub: Gate,
    { log, signal }: CallContext,
  ): Promise<"done" | "postponed"> {
    const { isWritten, owed, expiresAt, urgency, display } = held.row.work;
    if (expiresAt <= clock.latest()) {
      await delivery.giveUp(held, "expired", { log, signal });
      return "done";
    }
    const { live, isWhole } = await delivery.readLive(held.id, owed, { log, signal });
    if (!isWritten && !isWhole) {
      // Its maker failed half way, and promised nothing.
      if (!(await delivery.takeBack(held, signal))) return "postponed"; // it is somebody else's by now
      log.warn("taken_back");
      return "done";
    }
    // A push by tag goes to whom the hub takes for its owner: that has to be right first (P7).
    const settled = await mapBounded(live, MAX_PARALLEL_SETTLING, ({ recipientKey }) =>
      installations.settleDevices(recipientKey, { log, signal }),
    );
    if (settled.includes(false)) {
      hub.note({ kind: "transient", cause: "settling" });
      return postpone({ key: held.id, etag: held.etag, row: held.row }, signal);
    }
    const recipients = await delivery.listDevices(live, { log, signal });
    // Without its topic, which is not stored: a late repetition is not to replace what is newer.
    const message: PushMessage = { notificationId: held.id, expiresAt, urgency, display };
    // By the clock of leases: a process that slept has lost the row, whatever its timers say.
    if (held.row.leaseUntil === undefined || clock.now() >= held.row.leaseUntil) return "postponed";
    const pushing = createDeadline(PUSHES_TIMEOUT_MS);
    const attempt = await delivery
      .attempt(recipients, message, { log, signal: AbortSignal.any([signal, pushing.signal]) })
      .finally(pushing.clear);
    for (const outcome of attempt.outcomes) hub.note(outcome);
    const status = await delivery.conclude(held, attempt, { log, signal });
    log.info("redelivered", { push: status, attempts: held.row.attempts + 1 });
    return status === "pending" ? "postponed" : "done";
  }

  /** A row that says more is not ours. */
  async function readPause(signal: AbortSignal): Promise<Date | undefined> {
    const until = await store.readPause(HUB, signal);
    return until && new Date(Math.min(until.getTime(), clock.now().getTime() + MAX_PAUSE_MS_AHEAD));
  }

  /** What the alerts go by (infra/modules/alerts.bicep). */
  async function report(
    counts: { readonly done: number; readonly postponed: number; readonly left: number },
    { log, signal }: CallContext,
  ): Promise<void> {
    const { open, oldestAt } = await store.countOutbox(signal);
    const oldestSeconds =
      oldestAt === undefined
        ? 0
        : Math.max(0, Math.round((clock.now().getTime() - oldestAt.getTime()) / 1000));
    log.info("pushes_redelivered", { ...counts, open, oldestSeconds });
  }
}

function isTask({ value }: ListedOutboxRow): boolean {
  return value !== undefined && value.work.kind !== "send";
}

/** Whether a row waits for its time; one that is leased is most likely done before its lease is over. */
function isWaiting({ value }: ListedOutboxRow): boolean {
  return value?.leaseUntil === undefined;
}

/** What waited for one moment does not come back in one. */
function spread(at: Date): Date {
  return new Date(at.getTime() + Math.random() * SPREAD_MS);
}

/** Nothing is asked of the hub for what is over, or is to be erased. */
function needsHub({ work }: OutboxRow, now: Date): boolean {
  return work.kind === "settle" || (work.kind === "send" && work.expiresAt > now);
}

/** Whether a sender is asked any more in this pass. */
interface Gate {
  readonly stoppedUntil: () => Date | undefined;
  readonly note: (outcome: PushOutcome) => void;
}

/** A pass stops for a sender at its first 429 or 503, or where it is plainly away (design.md, "redeliverPushes"). */
function createGate(clock: Clock, pausedUntil: Date | undefined): Gate {
  let until = pausedUntil;
  let transient = 0;
  const stop = (ms: number) => {
    const at = new Date(clock.now().getTime() + ms);
    if (until === undefined || until < at) until = at;
  };
  return {
    stoppedUntil: () => (until !== undefined && until > clock.now() ? until : undefined),
    note: (outcome) => {
      if (outcome.kind === "throttled") stop(outcome.retryAfterSeconds * 1000);
      // Every other call would be refused as well.
      if (outcome.kind === "credentials") stop(DEFAULT_STOP_MS);
      transient = outcome.kind === "transient" ? transient + 1 : 0;
      if (transient >= MAX_TRANSIENT || (outcome.kind === "transient" && outcome.cause === "status 503"))
        stop(DEFAULT_STOP_MS);
    },
  };
}
