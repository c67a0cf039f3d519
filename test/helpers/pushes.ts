// What tests of pushes ask: a sent notification's ID, what the hub delivered, and what the outbox holds.
import { TableClient, TableServiceClient } from "@azure/data-tables";
import { inject } from "vitest";
import type { Answered, Api } from "./api.ts";

export const idOf = (sent: Answered): string => String(sent.json()["id"]);

/** One pass of redeliverPushes. */
export const redeliver = (api: Api): Promise<void> => api.runTimer("redeliverPushes");

/** The push channels that got an ID, sorted; one that got it twice is named twice. */
export function channelsOf(api: Pick<Api, "hub">, id: string): readonly string[] {
  return api.hub.deliveries
    .filter(({ body }) => body.includes(id))
    .map(({ pushChannel }) => pushChannel)
    .toSorted((a, b) => a.localeCompare(b));
}

export type RawRow = Readonly<Record<string, unknown>> & {
  readonly partitionKey: string;
  readonly rowKey: string;
};

export function rawTable(api: Pick<Api, "tablePrefix">, name: string): TableClient {
  return TableClient.fromConnectionString(inject("storageConnectionString"), api.tablePrefix + name, {
    allowInsecureConnection: true,
  });
}

/** Every row of a table, schedule entries too. A missing table is empty. */
export async function rawRows(api: Pick<Api, "tablePrefix">, name: string): Promise<readonly RawRow[]> {
  try {
    return (await Array.fromAsync(rawTable(api, name).listEntities())) as unknown as readonly RawRow[];
  } catch (error) {
    if (error instanceof Error && "statusCode" in error && error.statusCode === 404) return [];
    throw error;
  }
}

/** The rows of work in the outbox, by what they are for. */
export async function outboxRows(
  api: Pick<Api, "tablePrefix">,
): Promise<readonly (RawRow & { readonly key: string })[]> {
  const rows = await rawRows(api, "outbox");
  return rows
    .filter(({ rowKey }) => rowKey.startsWith("row-"))
    .map((row) => ({ ...row, key: row.rowKey.slice("row-".length + 16) }));
}

/** The dead letters of all weeks; their row keys are notification IDs and task IDs. */
export async function deadLetters(api: Pick<Api, "tablePrefix">): Promise<readonly RawRow[]> {
  const service = TableServiceClient.fromConnectionString(inject("storageConnectionString"), {
    allowInsecureConnection: true,
  });
  const rows: RawRow[] = [];
  for await (const { name } of service.listTables())
    if (name?.startsWith(`${api.tablePrefix}deadletters`) === true)
      rows.push(...(await rawRows(api, name.slice(api.tablePrefix.length))));
  return rows;
}
