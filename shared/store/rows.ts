// Reading rows that can be damaged, and older or newer than this code. I/O through the tables that are handed in.
import * as z from "zod";
import { type Day, parseDayName } from "../domain/id.ts";
import type { RowKey, StoredRow, Tables } from "./table.ts";
import { ROW_VERSION } from "./tableEntity.ts";

/** A row that this code cannot have written: damaged, or moved by somebody. It is never served. */
export class RowDamagedError extends Error {
  readonly code = "ROW_DAMAGED";
}

/** Deletes a row, whatever it has become meanwhile. */
export async function eraseRow(tables: Tables, key: RowKey, signal: AbortSignal): Promise<void> {
  for (;;) {
    const row = await tables.read(key, signal);
    if (row === undefined || (await tables.remove(key, row.etag, signal))) return;
  }
}

/** The days of tables that are named by a prefix and a day. What is named otherwise is not ours. */
export async function listDayTables(
  tables: Tables,
  prefix: string,
  signal: AbortSignal,
): Promise<readonly Day[]> {
  return parseDayNames((await tables.listTables(prefix, signal)).map((name) => name.slice(prefix.length)));
}

/** The days of names that `toDayName` made. */
export function parseDayNames(names: readonly string[]): readonly Day[] {
  return names.map(parseDayName).filter((day) => day !== undefined);
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
