// Reads a notification's rows from Table Storage, as anybody with access to the storage account can. I/O: Table Storage.
import { odata, TableClient, TableServiceClient } from "@azure/data-tables";

export interface FoundRow {
  readonly table: string;
  /** Values by name. */
  readonly columns: Readonly<Record<string, unknown>>;
}

/** All rows with this notification's ID. */
export async function* findRows(connectionString: string, id: string): AsyncGenerator<FoundRow> {
  const options = { allowInsecureConnection: true };
  const service = TableServiceClient.fromConnectionString(connectionString, options);
  for await (const { name: table } of service.listTables()) {
    if (table?.includes("notifications") !== true) continue;
    const client = TableClient.fromConnectionString(connectionString, table, options);
    const rows = client.listEntities({ queryOptions: { filter: odata`RowKey eq ${id}` } });
    for await (const row of rows) yield { table, columns: row };
  }
}
