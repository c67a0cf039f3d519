// What Table Storage holds for a notification, as anybody with access to the storage account sees it. I/O: Table Storage.
import { odata, TableClient, TableServiceClient } from "@azure/data-tables";

export interface StoredEntity {
  readonly table: string;
  /** Values by column. */
  readonly row: Readonly<Record<string, unknown>>;
}

/** The rows of a notification's ID in all tables of notifications. */
export async function* findRows(connectionString: string, id: string): AsyncGenerator<StoredEntity> {
  const options = { allowInsecureConnection: true };
  const service = TableServiceClient.fromConnectionString(connectionString, options);
  for await (const { name: table } of service.listTables()) {
    if (table?.includes("notifications") !== true) continue;
    const client = TableClient.fromConnectionString(connectionString, table, options);
    const rows = client.listEntities({ queryOptions: { filter: odata`RowKey eq ${id}` } });
    for await (const row of rows) yield { table, row };
  }
}
