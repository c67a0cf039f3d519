// Rows of `pauses`: until when nothing is pushed to a destination (docs/storage.md). There are only as many as there are
// hubs and push services.
import { untilWon } from "./race.ts";
import type { PauseRows } from "./store.ts";
import type { RowKey, Tables } from "./table.ts";

const PAUSES = "pauses";
const PARTITION = "pause";
const MAX_ROWS = 1000;
/** No pause is believed to be longer. */
const MAX_PAUSE_MS = 3_600_000;

export function createPauseRows(tables: Tables): PauseRows {
  return {
    listPauses: async (now, signal) => {
      const latest = now.getTime() + MAX_PAUSE_MS;
      const rows = await tables.list({ table: PAUSES, partitionKey: PARTITION }, MAX_ROWS, signal);
      return new Map(
        rows.flatMap(({ values: { name, until } }) =>
          typeof name === "string" && until instanceof Date && until > now
            ? [[name, new Date(Math.min(until.getTime(), latest))] as const]
            : [],
        ),
      );
    },
    pause: async (name, until, signal) => {
      const key = toKey(name);
      const tryOnce = async () => {
        const row = await tables.read(key, signal);
        const before = row?.values["until"];
        const isAbsurd = before instanceof Date && before.getTime() > until.getTime() + MAX_PAUSE_MS;
        if (before instanceof Date && before >= until && !isAbsurd) return true;
        const written = await tables.write(key, { name, until }, row?.etag, signal);
        return written === undefined ? undefined : true;
      };
      await untilWon(tryOnce, "a pause changed too often at once", signal);
    },
  };
}

/** A destination is an address, and keys take no slashes. */
function toKey(name: string): RowKey {
  return { table: PAUSES, partitionKey: PARTITION, rowKey: Buffer.from(name, "utf8").toString("base64url") };
}
