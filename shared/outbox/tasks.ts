// Work that a call begins and that has to come to its end, whatever becomes of the call: a task in the outbox stands
// before it and goes after it. I/O through the store that is handed in.
import type { CallContext } from "../base/context.ts";
import { randomUUID } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { type Log, toCause } from "../base/log.ts";
import { toBackOffMs, toLeasedRow } from "./outbox.ts";
import type { EraseWork, OutboxKey, OutboxRow, SettleWork, Store } from "../store/store.ts";

type Task = SettleWork | EraseWork;

/** A task that stands in the outbox; redelivery takes it where its maker does not come to an end. */
export interface HeldTask {
  /** It is done. A failure to say so has it done once more, which is harmless. */
  readonly done: (context: CallContext) => Promise<void>;
  /** It is left to redelivery. */
  readonly leave: (context: CallContext) => Promise<void>;
}

export interface Tasks {
  /** @throws StoreUnavailableError; then nothing is begun. */
  readonly begin: (work: Task, signal: AbortSignal) => Promise<HeldTask>;
  /** Leaves the whole of it to redelivery. */
  readonly add: (work: Task, signal: AbortSignal) => Promise<void>;
}

export function createTasks({ store, clock }: { readonly store: Store; readonly clock: Clock }): Tasks {
  return {
    begin: async (work, signal) => {
      const key = toTaskKey();
      const row = toLeasedRow(work, clock);
      const etag = await store.putOutbox(key, row, undefined, signal);
      if (etag === undefined) throw new Error("a task's key was drawn twice");
      const { leaseUntil: _, ...free } = row;
      const leave = (): OutboxRow => ({
        ...free,
        attempts: 1,
        dueAt: new Date(clock.now().getTime() + toBackOffMs(0)),
      });
      const conclude = async (log: Log, write: () => Promise<unknown>) => {
        try {
          await write();
        } catch (error) {
          log.warn("task_not_written", { task: key, cause: toCause(error) }); // its lease ends by itself
        }
      };
      return {
        done: (context) => conclude(context.log, () => store.deleteOutbox(key, etag, context.signal)),
        leave: (context) => conclude(context.log, () => store.putOutbox(key, leave(), etag, context.signal)),
      };
    },
    add: async (work, signal) => {
      const now = clock.now();
      await store.putOutbox(
        toTaskKey(),
        { createdAt: now, attempts: 0, work, dueAt: now },
        undefined,
        signal,
      );
    },
  };
}

/** No notification's ID is of this form. */
function toTaskKey(): OutboxKey {
  return `task-${randomUUID()}` as OutboxKey;
}
