// Azure Table Storage through its SDK: single-row operations that make missing tables, recognise their own
// success behind a lost answer, and tell what cannot be reached from what is wrong.
import { randomUUID } from "node:crypto";
import {
  odata,
  TableClient,
  type TableEntity,
  type TableEntityResult,
  TableServiceClient,
  type TableServiceClientOptions,
} from "@azure/data-tables";
import type { TokenCredential } from "@azure/identity";
import type { Clock } from "../base/clock.ts";
import type { StorageConfig } from "../config/config.ts";
import { type Day, toDay } from "../domain/id.ts";
import { StoreUnavailableError, type WriteOutcome } from "./store.ts";

/** A value of a property; a Date is an Edm.DateTime (milliseconds kept), bytes are Edm.Binary (64 KiB at most). */
export type Value = string | number | boolean | Date | Uint8Array;
export type Values = Readonly<Record<string, Value>>;

export interface RowKey {
  readonly table: string;
  readonly partitionKey: string;
  readonly rowKey: string;
  /** The one day that the table is for; once that is over, the table is not made (again) (R103). */
  readonly day?: Day;
}

export interface StoredRow {
  readonly partitionKey: string;
  readonly rowKey: string;
  readonly etag: string;
  /** Untyped until read: rows can be damaged, and older or newer than this code. */
  readonly values: Readonly<Record<string, unknown>>;
}

export interface Tables {
  /** All properties, or only those named. */
  readonly read: (
    key: RowKey,
    signal: AbortSignal,
    select?: readonly string[],
  ) => Promise<StoredRow | undefined>;
  readonly list: (table: string, partitionKey: string, signal: AbortSignal) => Promise<readonly StoredRow[]>;
  /** Of all partitions. */
  readonly listAll: (table: string, signal: AbortSignal) => Promise<readonly StoredRow[]>;
  /** Rows of a partition in the order of their keys, past `after`, so many at most, with the properties named. */
  readonly listRange: (
    table: string,
    partitionKey: string,
    after: string | undefined,
    limit: number,
    select: readonly string[],
    signal: AbortSignal,
  ) => Promise<readonly StoredRow[]>;
  /** Rows of all partitions in which this property is a time before that, so many at most; with all properties, or those named. */
  readonly listPast: (
    table: string,
    property: string,
    before: Date,
    limit: number,
    signal: AbortSignal,
    select?: readonly string[],
  ) => Promise<readonly StoredRow[]>;
  /**
   * Inserts without an etag (and makes the table when it is missing), else replaces exactly that version. Answers the
   * version written; nothing where a row stands already, or where it has changed.
   */
  readonly put: (
    key: RowKey,
    values: Values,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
  /** `changed`: a row stands there already. Makes the table when it is missing. */
  readonly insert: (key: RowKey, values: Values, signal: AbortSignal) => Promise<WriteOutcome>;
  /** Replaces exactly the version read before. */
  readonly replace: (key: RowKey, values: Values, etag: string, signal: AbortSignal) => Promise<WriteOutcome>;
  /** Changes only the properties named, of exactly the version read before. */
  readonly merge: (key: RowKey, values: Values, etag: string, signal: AbortSignal) => Promise<WriteOutcome>;
  /** Deletes exactly the version read before; a row that is gone is `written`: that is what was wanted. */
  readonly remove: (key: RowKey, etag: string, signal: AbortSignal) => Promise<WriteOutcome>;
  /** The names of the tables that begin so (at least one character, letters alone), without the prefix of all. */
  readonly listTables: (beginning: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** Makes a table, for a day that is not over if it is for one; one that stands already is no failure. */
  readonly makeTable: (table: string, day: Day | undefined, signal: AbortSignal) => Promise<void>;
  /** Drops a table with all its rows; one that is gone, or going, is no failure. */
  readonly dropTable: (table: string, signal: AbortSignal) => Promise<void>;
}

/** The version that a write made. */
interface Written {
  readonly etag: string;
}

export interface TablesOptions {
  readonly storage: StorageConfig;
  /** For an endpoint; a connection string brings its own key. */
  readonly credential?: TokenCredential;
  readonly clock: Clock;
  readonly allowLoopback: boolean;
}

/** The shape of every row of this version; a new one is readable a release before it is written. */
export const ROW_VERSION = 1;
const MAX_CLIENTS = 100;
/** What the store puts into one answer (Azure Tables: query timeout and pagination). */
const MAX_PAGE_ROWS = 1000;

/** @throws Error when the SDK cannot work with the connection string, or an endpoint has no credential. */
export function createTables({ storage, credential, clock, allowLoopback }: TablesOptions): Tables {
  const clients = new Map<string, TableClient>();
  const options: TableServiceClientOptions = {
    allowInsecureConnection: allowLoopback,
    // At most four tries of an operation (R95); each call's own deadline ends them earlier.
    retryOptions: { maxRetries: 3, retryDelayInMs: 200, maxRetryDelayInMs: 2_000 },
    additionalPolicies: [{ policy: createClockPolicy(clock), position: "perRetry" }],
  };

  function clientOf(table: string): TableClient {
    let client = clients.get(table);
    if (client === undefined) {
      if (clients.size >= MAX_CLIENTS) clients.clear(); // a long life sees a new table every day
      const name = storage.tablePrefix + table;
      if ("connectionString" in storage)
        client = TableClient.fromConnectionString(storage.connectionString.reveal(), name, options);
      else if (credential !== undefined)
        client = new TableClient(storage.endpoint, name, credential, options);
      else throw new Error("a storage endpoint needs a credential");
      clients.set(table, client);
    }
    return client;
  }

  function refuseOver(day: Day | undefined): void {
    if (day !== undefined && day < toDay(clock.now())) throw new Error("a day that is over gets no table");
  }

  function connectService(): TableServiceClient {
    if ("connectionString" in storage)
      return TableServiceClient.fromConnectionString(storage.connectionString.reveal(), options);
    if (credential !== undefined) return new TableServiceClient(storage.endpoint, credential, options);
    throw new Error("a storage endpoint needs a credential");
  }

  clientOf("keys"); // what the SDK refuses stops the start, not each call

  async function read(
    key: RowKey,
    signal: AbortSignal,
    select?: readonly string[],
  ): Promise<StoredRow | undefined> {
    const queryOptions = select === undefined ? {} : { queryOptions: { select: [...select] } };
    const found = await attempt(
      () =>
        clientOf(key.table).getEntity(key.partitionKey, key.rowKey, { abortSignal: signal, ...queryOptions }),
      signal,
      { 404: undefined },
    );
    return found && toStoredRow(found);
  }

  /** A missing table is empty. */
  async function listRows(
    table: string,
    queryOptions: { readonly filter?: string; readonly select?: string[] },
    limit: number,
    signal: AbortSignal,
  ): Promise<readonly StoredRow[]> {
    const rows: StoredRow[] = [];
    const pages = clientOf(table)
      .listEntities({ queryOptions, abortSignal: signal })
      .byPage({ maxPageSize: Math.min(limit, MAX_PAGE_ROWS) });
    const collect = async () => {
      for await (const page of pages) {
        rows.push(...page.slice(0, limit - rows.length).map(toStoredRow));
        if (rows.length >= limit) break;
      }
      return rows;
    };
    return attempt(collect, signal, { 404: rows });
  }

  /**
   * The SDK repeats a write whose answer was lost; then the store says 409 or 412 although the first one went
   * through (R93). Every write carries a value of its own, `w`, by which a read recognises it. `missing`: there is
   * no such row, or no table.
   */
  async function write(
    key: RowKey,
    values: Values,
    signal: AbortSignal,
    put: (entity: TableEntity) => Promise<{ readonly etag?: string }>,
  ): Promise<Written | "changed" | "missing"> {
    const w = randomUUID();
    const entity = { partitionKey: key.partitionKey, rowKey: key.rowKey, v: ROW_VERSION, w, ...values };
    const outcome = await attempt(() => put(entity), signal, {
      404: "missing" as const,
      409: "changed" as const,
      412: "changed" as const,
    });
    if (outcome === "missing") return outcome;
    if (outcome !== "changed" && outcome.etag !== undefined) return { etag: outcome.etag };
    const stands = await read(key, signal);
    return stands?.values["w"] === w ? { etag: stands.etag } : "changed";
  }

  async function insert(key: RowKey, values: Values, signal: AbortSignal): Promise<Written | "changed"> {
    const client = clientOf(key.table);
    const put = (entity: TableEntity) => client.createEntity(entity, { abortSignal: signal });
    const first = await write(key, values, signal, put);
    if (first !== "missing") return first;
    refuseOver(key.day);
    // Made by whoever comes first; the SDK takes "already exists" for success.
    await attempt(() => client.createTable({ abortSignal: signal }), signal, {});
    const second = await write(key, values, signal, put);
    if (second === "missing") throw new StoreUnavailableError("a table went as soon as it was made");
    return second;
  }

  function update(
    key: RowKey,
    values: Values,
    how: "Replace" | "Merge",
    etag: string,
    signal: AbortSignal,
  ): Promise<Written | "changed" | "missing"> {
    return write(key, values, signal, (entity) =>
      clientOf(key.table).updateEntity(entity, how, { etag, abortSignal: signal }),
    );
  }

  return {
    read,
    list: (table, partitionKey, signal) =>
      listRows(table, { filter: odata`PartitionKey eq ${partitionKey}` }, Infinity, signal),
    listAll: (table, signal) => listRows(table, {}, Infinity, signal),
    listRange: (table, partitionKey, after, limit, select, signal) => {
      const filter = odata`PartitionKey eq ${partitionKey} and RowKey gt ${after ?? ""}`;
      return listRows(table, { filter, select: [...select] }, limit, signal);
    },
    // The property's name is ours and needs no quoting.
    listPast: (table, property, before, limit, signal, select) => {
      const filter = `${property} lt ${odata`${before}`}`;
      return listRows(table, { filter, ...(select && { select: [...select] }) }, limit, signal);
    },
    put: async (key, values, etag, signal) => {
      const outcome =
        etag === undefined
          ? await insert(key, values, signal)
          : await update(key, values, "Replace", etag, signal);
      return typeof outcome === "object" ? outcome.etag : undefined;
    },
    insert: async (key, values, signal) => toOutcome(await insert(key, values, signal)),
    replace: async (key, values, etag, signal) =>
      toOutcome(await update(key, values, "Replace", etag, signal)),
    merge: async (key, values, etag, signal) => toOutcome(await update(key, values, "Merge", etag, signal)),
    remove: (key, etag, signal) =>
      attempt(
        () =>
          clientOf(key.table)
            .deleteEntity(key.partitionKey, key.rowKey, { etag, abortSignal: signal })
            .then(() => "written" as const),
        signal,
        { 404: "written" as const, 412: "changed" as const },
      ),
    listTables: (beginning, signal) => {
      const from = storage.tablePrefix + beginning;
      // Names hold letters and digits alone; "{" is the character after "z", the last of them.
      const pages = connectService().listTables({
        queryOptions: { filter: odata`TableName ge ${from} and TableName lt ${`${from}{`}` },
        abortSignal: signal,
      });
      return attempt(
        async () => {
          const names: string[] = [];
          for await (const { name } of pages)
            if (name?.startsWith(from) === true) names.push(name.slice(storage.tablePrefix.length));
          return names;
        },
        signal,
        {},
      );
    },
    makeTable: async (table, day, signal) => {
      refuseOver(day);
      await attempt(() => clientOf(table).createTable({ abortSignal: signal }), signal, {});
    },
    dropTable: (table, signal) =>
      // The SDK takes a table that is gone for dropped.
      attempt(() => clientOf(table).deleteTable({ abortSignal: signal }), signal, { 409: undefined }, true),
  };
}

/** To who would change it, a row that is gone is one that somebody else has changed. */
function toOutcome(outcome: Written | "changed" | "missing"): WriteOutcome {
  return typeof outcome === "object" ? "written" : "changed";
}

/** Runs an operation; a status that it expects becomes a value, an outage StoreUnavailableError. */
async function attempt<T, E>(
  operation: () => Promise<T>,
  signal: AbortSignal,
  expected: Readonly<Record<number, E>>,
  isDropping = false,
): Promise<T | E> {
  signal.throwIfAborted();
  try {
    return await operation();
  } catch (error) {
    signal.throwIfAborted();
    const status = toStatus(error);
    if (status !== undefined && status in expected && isTableBeingDeleted(error) === isDropping)
      return expected[status] as E;
    // 400 and 413 are ours: a bug, not an outage. Everything else, refused credentials too, may pass.
    if (status === 400 || status === 413) throw error;
    throw new StoreUnavailableError(`storage answered ${status ?? "nothing"}`, { cause: error });
  }
}

/** A deleted table's name is refused for a while (409): neither a row that exists nor one that is missing. */
function isTableBeingDeleted(error: unknown): boolean {
  return error instanceof Error && error.message.includes("TableBeingDeleted");
}

function toStatus(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("statusCode" in error)) return undefined;
  return typeof error.statusCode === "number" ? error.statusCode : undefined;
}

function toStoredRow({ etag, partitionKey, rowKey, ...values }: TableEntityResult<object>): StoredRow {
  // A property that was asked for by name and is not there is null.
  const given = Object.entries<unknown>(values).filter(([, value]) => value !== null && value !== undefined);
  return {
    etag,
    partitionKey: partitionKey ?? "",
    rowKey: rowKey ?? "",
    values: Object.fromEntries(given),
  };
}

type Policy = NonNullable<TableServiceClientOptions["additionalPolicies"]>[number]["policy"];

/** Learns the store's time from the `Date` header of each of its answers. */
function createClockPolicy(clock: Clock): Policy {
  return {
    name: "observeStoreDate",
    sendRequest: async (request, next) => {
      const sentAtMs = clock.uncorrectedMs();
      const response = await next(request);
      const date = response.headers.get("date");
      if (date !== undefined) clock.observe(new Date(date), sentAtMs, clock.uncorrectedMs());
      return response;
    },
  };
}
