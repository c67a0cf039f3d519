// Work that a call begins and that has to be finished whatever becomes of the call: a task is written to the outbox
// before the work and deleted after it. I/O through the store.
import { randomUUID } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import type { CallContext } from "../base/context.ts";
import { toCause } from "../base/log.ts";
import type { ReconcileWork } from "../store/reconcileWork.ts";
import type { Store } from "../store/store.ts";
import { toLaterRow, toNewRow } from "./outbox.ts";
import type { EraseWork, TaskId } from "../store/outboxWork.ts";

type Task = ReconcileWork | EraseWork;

/** A task in the outbox. Redelivery takes it if its maker does not finish. */
export interface HeldTask {
  /** Whether there is time for one more step. Once the lease is over, redelivery may work on the same. */
  readonly isLeased: () => boolean;
  /** The work is finished. If this cannot be written, the work is done once more, which is harmless. */
  readonly done: (context: CallContext) => Promise<void>;
  /** Redelivery is to finish the work. */
  readonly leave: (context: CallContext) => Promise<void>;
}

export interface Tasks {
  /** @throws StoreUnavailableError; then nothing has begun. */
  readonly begin: (work: Task, signal: AbortSignal) => Promise<HeldTask>;
  /** Leaves all of the work to redelivery. */
  readonly add: (work: Task, signal: AbortSignal) => Promise<void>;
}

/** Longer than one call of a sender takes (R115). */
const STEP_MS = 6_000;

export interface TasksOptions {
  readonly store: Store;
  readonly clock: Clock;
}

export function createTasks({ store, clock }: TasksOptions): Tasks {
  return {
    begin: async (work, signal) => {
      const key = createTaskId(clock.now());
      const row = toNewRow(work, work.kind, clock);
      const etag = await store.writeOutbox({ key, after: row }, signal);
      if (etag === undefined) throw new Error("a task's ID was drawn twice");
      const before = { etag, value: row };
      const conclude = async ({ log }: CallContext, write: () => Promise<unknown>) => {
        try {
          await write();
        } catch (error) {
          log.warn("task_not_written", { task: key, cause: toCause(error) }); // its lease ends by itself
        }
      };
      return {
        isLeased: () => clock.now().getTime() + STEP_MS < row.leaseUntil.getTime(),
        done: (context) => conclude(context, () => store.writeOutbox({ key, before }, context.signal)),
        leave: (context) =>
          conclude(context, () =>
            store.writeOutbox({ key, before, after: toLaterRow(row, clock) }, context.signal),
          ),
      };
    },
    add: async (work, signal) => {
      const now = clock.now();
      const row = { createdAt: now, attempts: 0, work, due: { [work.kind]: now } };
      await store.writeOutbox({ key: createTaskId(now), after: row }, signal);
    },
  };
}

function createTaskId(now: Date): TaskId {
  return `task-${String(now.getTime()).padStart(15, "0")}-${randomUUID()}` as TaskId;
}
