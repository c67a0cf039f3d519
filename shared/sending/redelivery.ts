// redeliverPushes: works through the outbox, queue by queue. Passes can run concurrently: each leases a row with its ETag,
// and a lease ends by itself. I/O through store, senders and devices.
import type { Log } from "../base/log.ts";
import type { Limits } from "../config/config.ts";
import type { Installations } from "../devices/installations.ts";
import { QUEUES, type QueueName } from "../store/outboxWork.ts";
import type { Sender } from "../push/sender.ts";
import type { DeliveryOptions } from "./delivery.ts";
import type { Erase } from "./erasing.ts";
import { createGates, type Destination, type Gates, toDestination, toDirectoryDestination } from "./gates.ts";
import type { OutboxCount } from "../store/store.ts";
import { createLimiter } from "./limiter.ts";
import { drainQueue, type Pass, type Queue } from "./queues.ts";
import { workOnRow } from "./rowWork.ts";

/** Waits, and rejects when the signal ends first. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

export interface RedeliveryOptions extends DeliveryOptions {
  readonly limits: Limits;
  readonly installations: Installations;
  readonly erase: Erase;
  readonly sleep: Sleep;
}

/**
 * One pass: what is due, and for up to 50 s what falls due meanwhile. It may run twice at once, be killed and be missed.
 * When `stopping` ends it takes nothing new and ends early; work that has begun has the time of `signal`.
 */
export type Redeliver = (log: Log, stopping: AbortSignal, signal: AbortSignal) => Promise<void>;

const LINGER_MS = 50_000;
/** It wakes after so long at the latest: the clock may have been corrected meanwhile. */
const MAX_WAIT_MS = 5_000;
const MIN_WAIT_MS = 100;
/** Rows of one queue at once, where the other side takes it. */
const MAX_PARALLEL: Readonly<Record<QueueName, number>> = {
  unsent: 16,
  expire: 16,
  reconcile: 8,
  erase: 4,
  hub: 64,
  webPush: 64,
  mpns: 64,
};

export function createRedeliver(options: RedeliveryOptions): Redeliver {
  return async (log, stopping, signal) => {
    const { clock, store } = options;
    const startedMs = clock.uncorrectedMs();
    const leftMs = () => startedMs + LINGER_MS - clock.uncorrectedMs();
    const counts = { done: 0, postponed: 0, left: 0 };
    const pass: Pass = {
      clock,
      store,
      context: { log, signal },
      counts,
      isOver: () => stopping.aborted || leftMs() <= 0,
      lookUntil: () => new Date(clock.now().getTime() + Math.max(0, leftMs())),
    };
    const before = await store.countOutbox(signal);
    if (before.open === 0) return report(options, pass, before); // no row, so no queue has anything to do
    const gates = createGates(clock, await store.listPauses(clock.now(), signal));
    await workUntilNothingIsDue(createQueues(options, gates), pass, (waitMs) => {
      const boundedMs = Math.min(Math.max(waitMs, MIN_WAIT_MS), MAX_WAIT_MS, leftMs());
      return options.sleep(boundedMs, AbortSignal.any([stopping, signal])).catch(() => undefined);
    });
    report(options, pass, await store.countOutbox(signal));
  };
}

/** Works through the queues for as long as something falls due in this pass. */
async function workUntilNothingIsDue(
  queues: readonly Queue[],
  pass: Pass,
  wait: (ms: number) => Promise<void>,
): Promise<void> {
  const { clock, context } = pass;
  /** When each queue is to be looked at next, in milliseconds. */
  const nextMs = new Map<QueueName, number>(queues.map(({ name }) => [name, 0]));
  while (!pass.isOver()) {
    const nowMs = clock.now().getTime();
    const ready = queues.filter(({ name }) => (nextMs.get(name) ?? Infinity) <= nowMs);
    const looks = await Promise.allSettled(ready.map((queue) => look(queue, pass, nextMs)));
    for (const one of looks) if (one.status === "rejected") throw one.reason;
    const earliestMs = Math.min(...nextMs.values());
    if (pass.isOver() || earliestMs > pass.lookUntil().getTime()) return;
    await wait(earliestMs - clock.now().getTime());
    context.signal.throwIfAborted();
  }
}

/** Works on what is due in one queue, and notes when its next row, or a row that it moved to another, is due. */
async function look(queue: Queue, pass: Pass, nextMs: Map<QueueName, number>): Promise<void> {
  nextMs.set(queue.name, Infinity);
  const closedForSeconds = queue.closedForSeconds();
  if (closedForSeconds !== undefined) {
    nextMs.set(queue.name, pass.clock.now().getTime() + closedForSeconds * 1000);
    return;
  }
  const due = await drainQueue(queue, pass);
  // A queue that this pass does not have (its sender is stopped) is nothing to wait for.
  for (const [name, dueMs] of due) {
    const knownMs = nextMs.get(name);
    if (knownMs !== undefined) nextMs.set(name, Math.min(dueMs, knownMs));
  }
}

function createQueues(options: RedeliveryOptions, gates: Gates): readonly Queue[] {
  const { senders } = options;
  return QUEUES.flatMap((name): readonly Queue[] => {
    const sender = senders.all.find((one) => one.name === name);
    const isOfSender = name === "hub" || name === "webPush" || name === "mpns";
    // What is pending for a sender that is stopped or not configured waits until it expires.
    if (isOfSender && sender?.isServing() !== true) return [];
    const destination = toQueueDestination(name, sender, options);
    return [
      {
        name,
        limiter: createLimiter(MAX_PARALLEL[name]),
        closedForSeconds: () => destination && gates.closedForSeconds(destination),
        work: (held, context) => workOnRow({ ...options, gates }, { queue: name, held }, context),
      },
    ];
  });
}

/** The gate of a whole queue. A sender with many destinations has none. */
function toQueueDestination(
  name: QueueName,
  sender: Sender | undefined,
  { senders }: RedeliveryOptions,
): Destination | undefined {
  if (name === "reconcile") return toDirectoryDestination(senders);
  return sender === undefined || sender.toDestination !== undefined
    ? undefined
    : toDestination(sender, undefined);
}

/** The alerts go by this line (infra/modules/alerts.bicep). */
function report(
  { clock }: RedeliveryOptions,
  { counts, context }: Pass,
  { open, oldestAt }: OutboxCount,
): void {
  const ageMs = oldestAt === undefined ? 0 : clock.now().getTime() - oldestAt.getTime();
  context.log.info("pushes_redelivered", {
    ...counts,
    open,
    oldestSeconds: Math.max(0, Math.round(ageMs / 1000)),
  });
}
