// A store on the run's own Azurite, under a table prefix that nobody else has.
import { randomBytes } from "node:crypto";
import { TableClient, TableServiceClient } from "@azure/data-tables";
import { inject } from "vitest";
import { type Clock, createClock } from "../../shared/clock.ts";
import { createLog, type Log } from "../../shared/log.ts";
import { Secret } from "../../shared/secret.ts";
import type { Store } from "../../shared/store/store.ts";
import { createTables, type Tables } from "../../shared/store/table.ts";
import { createTableStore } from "../../shared/store/tableStore.ts";

export const silentLog: Log = createLog(() => undefined);

export interface TestStore {
  readonly prefix: string;
  readonly clock: Clock;
  readonly tables: Tables;
  readonly store: Store;
  /** The names of the tables that exist, without the prefix. */
  readonly listTables: () => Promise<readonly string[]>;
  /** The SDK's own client of one table, to set up and to damage rows. */
  readonly rawTable: (table: string) => TableClient;
}

export interface TestStoreOptions {
  /** Several stores over one prefix are several instances of the service. */
  readonly prefix?: string;
  /** Default: the run's Azurite itself; a proxy's to come between. */
  readonly connectionString?: string;
  readonly clock?: Clock;
}

function createTablePrefix(): string {
  return `t${randomBytes(8).toString("hex")}`;
}

export function createTestStore(options: TestStoreOptions = {}): TestStore {
  const direct = inject("storageConnectionString");
  const { prefix = createTablePrefix(), connectionString = direct } = options;
  const clock = options.clock ?? createClock(silentLog);
  const tables = createTables({
    storage: { tablePrefix: prefix, connectionString: new Secret(connectionString) },
    clock,
    allowLoopback: true,
  });
  return {
    prefix,
    clock,
    tables,
    store: createTableStore(tables),
    listTables: async () => {
      const service = TableServiceClient.fromConnectionString(direct, { allowInsecureConnection: true });
      const names: string[] = [];
      for await (const { name } of service.listTables())
        if (name?.startsWith(prefix) === true) names.push(name.slice(prefix.length));
      return names.toSorted();
    },
    rawTable: (table) =>
      TableClient.fromConnectionString(direct, prefix + table, { allowInsecureConnection: true }),
  };
}
