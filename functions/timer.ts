// From a timer's tick to a run and back: the log, and a failure that the platform sees as one.
import type { TimerHandler } from "@azure/functions";
import type { Log } from "../shared/base/log.ts";
import { toFaultFields, toLog } from "./http/handler.ts";

export interface Timer {
  /** The function's name in Azure, and its file's. */
  readonly name: string;
  /** NCRONTAB: second, minute, hour, day, month, day of the week, in UTC. */
  readonly schedule: string;
  /** Takes nothing new once `stopping` has ended: the platform is about to stop this instance. */
  readonly run: (log: Log, stopping: AbortSignal) => Promise<void>;
}

/** A run that fails is logged, and fails for the platform too, which counts it. */
export function toTimerHandler({ name, run }: Timer, stopping: AbortSignal): TimerHandler {
  return async (_timer, context) => {
    const log = toLog(context).with({ correlationId: context.invocationId, timer: name });
    try {
      await run(log, stopping);
    } catch (error) {
      log.error("timer_failed", toFaultFields(error));
      // oxlint-disable-next-line preserve-caught-error -- the platform prints it, with what an SDK's message may hold
      throw new Error(`${name} failed`);
    }
  };
}
