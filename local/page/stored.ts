// The rows of a notification as the page shows them. I/O: Table Storage.
import { findRows } from "../storedRows.ts";
import type { StoredRow } from "./messages.ts";

/** The row of one recipient's notification for each table that has one. */
export async function readStored(connectionString: string, id: string): Promise<readonly StoredRow[]> {
  const rows: StoredRow[] = [];
  for await (const { table, columns: row } of findRows(connectionString, id)) {
    const { etag: _etag, ...columns } = row;
    rows.push({ table, columns: Object.entries(columns).map(([key, value]) => [key, toText(value)]) });
  }
  return rows;
}

function toText(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Date) return value.toISOString();
  return String(value);
}
