// Runs a timer function for the Functions runtime: gives it a log, and reports its failure to the platform.
import type { TimerHandler } from "@azure/functions";
import type { Log } from "../shared/base/log.ts";
import { toErrorFields, toLog } from "./http/handler.ts";

export interface Timer {
  /** The function's name in Azure, and the name of its file. */
  readonly name: string;
  /** NCRONTAB in UTC: second, minute, hour, day, month, day of the week. */
  readonly schedule: string;
  /** Begins nothing new after `stopping` has fired: the platform is about to stop this instance. */
  readonly run: (log: Log, stopping: AbortSignal) => Promise<void>;
}

/** A failed run is logged and fails for the platform too, which counts failures. */
export function toTimerHandler({ name, run }: Timer, stopping: AbortSignal): TimerHandler {
  return async (_timer, context) => {
    const log = toLog(context).with({ correlationId: context.invocationId, timer: name });
    try {
      await run(log, stopping);
    } catch (error) {
      log.error("timer_failed", toErrorFields(error));
      // oxlint-disable-next-line preserve-caught-error -- the platform prints it, and an SDK's message may quote input
      throw new Error(`${name} failed`);
    }
  };
}
