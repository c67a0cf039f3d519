// What Table Storage holds for a notification, as whoever has the storage account sees it. I/O: Table Storage.
import { odata, TableClient, TableServiceClient } from "@azure/data-tables";
import type { StoredRow } from "./messages.ts";

/** The row of one recipient's notification for each table that has one. */
export async function readStored(connectionString: string, id: string): Promise<readonly StoredRow[]> {
  const options = { allowInsecureConnection: true };
  const rows: StoredRow[] = [];
  for await (const { name } of TableServiceClient.fromConnectionString(
    connectionString,
    options,
  ).listTables()) {
    if (name?.includes("notifications") !== true) continue;
    const table = TableClient.fromConnectionString(connectionString, name, options);
    const found = table.listEntities({
      queryOptions: { filter: odata`RowKey eq ${id}` },
    });
    for await (const { etag: _etag, ...row } of found)
      rows.push({ table: name, columns: Object.entries(row).map(([key, value]) => [key, toText(value)]) });
  }
  return rows;
}

function toText(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Date) return value.toISOString();
  return String(value);
}
