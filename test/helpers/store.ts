// A store on the run's own Azurite, under a table prefix that nobody else has, and what a test puts in front of it.
import { randomBytes } from "node:crypto";
import { TableClient, TableServiceClient } from "@azure/data-tables";
import { inject } from "vitest";
import { type Clock, createClock } from "../../shared/base/clock.ts";
import { createLog, type Log } from "../../shared/base/log.ts";
import { Secret } from "../../shared/base/secret.ts";
import type { Store } from "../../shared/store/store.ts";
import { createTables, type Tables } from "../../shared/store/table.ts";
import { createTableStore } from "../../shared/store/tableStore.ts";
import { createFaultProxy, type Fault, type FaultProxy } from "./faultProxy.ts";

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

export interface StoreProxy extends FaultProxy {
  readonly connectionString: string;
}

/** A proxy in front of the run's Azurite. */
export async function createStoreProxy(): Promise<StoreProxy> {
  const direct = inject("storageConnectionString");
  const endpoint = new URL(/TableEndpoint=([^;]+)/.exec(direct)?.[1] ?? "");
  const proxy = await createFaultProxy(Number(endpoint.port));
  const connectionString = direct.replace(endpoint.host, `127.0.0.1:${proxy.port}`);
  return Object.assign(proxy, { connectionString });
}

/** The proxy answers by itself, as Table Storage words its errors. */
export function storeError(
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): Fault {
  return {
    kind: "answer",
    status,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ "odata.error": { code, message: { lang: "en-US", value: code } } }),
  };
}
