// What becomes of days: those that are over are dropped with their data keys, the coming ones are prepared. Its cost
// goes by days, never by rows: idempotency keys and dead letters lie in tables of their days and weeks too. I/O through what is handed in.
import type { CallContext } from "../base/context.ts";
import type { Clock } from "../base/clock.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { type Day, toDay, toDayName } from "../domain/id.ts";
import { toCause } from "../base/log.ts";
import type { Store } from "../store/store.ts";

/** Longer than any notification lives (28 days), so that a send finds its table and key made. */
const PREPARED_DAYS = 30;
const WEEK_DAYS = 7;
/** Dead letters are kept for so long after the week in which their notifications expired. */
const DEAD_LETTER_DAYS = 7;

export interface RetentionOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: Clock;
}

/**
 * One pass. It may run twice at once, be killed half way, and be missed for days: what is left is the next one's.
 * One failure does not keep the other days from being dropped; the last one is thrown when all have had their turn.
 */
export type DropExpired = (context: CallContext) => Promise<void>;

export function createDropExpired({ store, keyring, clock }: RetentionOptions): DropExpired {
  return async ({ log, signal }) => {
    // The store's answer also corrects the clock: what is over is judged by its time, whatever this machine's says.
    const stored = await store.listDays(signal);
    const heard = toDay(clock.now());
    // Twice: one answer with a wrong date is not to cost a day that lives.
    await store.ping(signal);
    const today = Math.min(heard, toDay(clock.now()));
    const failures: unknown[] = [];
    const attempt = async (event: string, day: Day, work: () => Promise<unknown>): Promise<boolean> => {
      signal.throwIfAborted();
      try {
        await work();
        return true;
      } catch (error) {
        failures.push(error);
        log.error(event, { day: toDayName(day), cause: toCause(error) });
        return false;
      }
    };

    let dropped = 0;
    for (const day of new Set([...stored.tables, ...stored.keys])) {
      if (day >= today) continue;
      if (await attempt("day_not_dropped", day, () => store.dropDay(day, signal))) dropped++;
    }
    let prepared = 0;
    for (let day = today; day <= today + PREPARED_DAYS; day++) {
      const missing = [
        ...(stored.tables.has(day) ? [] : [() => store.prepareDay(day, signal)]),
        ...(stored.keys.has(day) ? [] : [() => keyring.makeDayKey(day, signal)]),
      ];
      for (const make of missing) if (await attempt("day_not_prepared", day, make)) prepared++;
    }
    for (const day of await store.listClaimDays(signal)) {
      // A key used at the end of a day is remembered to the end of the next one.
      if (day >= today - 1) continue;
      if (await attempt("day_not_dropped", day, () => store.dropClaimDay(day, signal))) dropped++;
    }
    await attempt("day_not_prepared", today + 1, () => store.prepareClaimDay(today + 1, signal));
    for (const week of await store.listDeadLetterWeeks(signal)) {
      if (week + WEEK_DAYS + DEAD_LETTER_DAYS > today) continue;
      if (await attempt("week_not_dropped", week, () => store.dropDeadLetterWeek(week, signal))) dropped++;
    }
    if (await keyring.wrapRootAnew(signal)) log.info("root_key_wrapped_anew");
    if (failures.length > 0) throw failures.at(-1);
    log.info("expired_dropped", { dropped, prepared });
  };
}
