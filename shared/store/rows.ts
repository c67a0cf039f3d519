// Reading rows that can be damaged, and older or newer than this code. I/O through the tables that are handed in.
import * as z from "zod";
import type { RowKey, StoredRow, Tables, Values } from "./table.ts";
import { ROW_VERSION } from "./tableEntity.ts";

const MAX_MARK_TRIES = 5;

/** A row that this code cannot have written: damaged, or moved by somebody. It is never served. */
export class RowDamagedError extends Error {
  readonly code = "ROW_DAMAGED";
}

/** Adds marks to a row; `decide` sees each version that the race brings and may find nothing left to do. */
export async function markRow(
  tables: Tables,
  key: RowKey,
  decide: (row: StoredRow) => Values | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 0; tries < MAX_MARK_TRIES; tries++) {
    const row = await tables.read(key, signal);
    const values = row && decide(row);
    if (row === undefined || values === undefined) return;
    if ((await tables.merge(key, values, row.etag, signal)) !== undefined) return;
  }
  throw new Error("a mark lost every race for its row");
}

/** Deletes a row, whatever it has become meanwhile. */
export async function eraseRow(tables: Tables, key: RowKey, signal: AbortSignal): Promise<void> {
  for (;;) {
    const row = await tables.read(key, signal);
    if (row === undefined || (await tables.remove(key, row.etag, signal))) return;
  }
}

/** A row of a shape that this code does not know is not read as if it were of this one. */
export function isCurrent(values: StoredRow["values"]): boolean {
  return values["v"] === ROW_VERSION;
}

/** A property that holds JSON, since a table has no lists. */
export function jsonOf<T>(schema: z.ZodType<T>): z.ZodType<T> {
  return z
    .string()
    .transform((value, context): unknown => {
      try {
        return JSON.parse(value);
      } catch {
        context.addIssue({ code: "custom", message: "is not JSON" });
        return z.NEVER;
      }
    })
    .pipe(schema);
}

export function text(value: unknown): string {
  if (typeof value === "string") return value;
  throw new RowDamagedError("a text is missing");
}

export function bytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new RowDamagedError("bytes are missing");
}

export function instant(value: unknown): Date {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value;
  throw new RowDamagedError("a time is missing");
}
