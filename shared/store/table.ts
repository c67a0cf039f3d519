// Azure Table Storage: single-row operations and transactions of one partition. They create missing tables, recognise
// their own success when the answer was lost (R93), and tell what cannot be reached from what is wrong.
import { type Day, toDay } from "../domain/id.ts";
import type { TableOperation } from "./tableBatch.ts";
import type { StoredRow, Value, Values } from "./tableEntity.ts";
import { createTableTransport, type TransportOptions } from "./tableTransport.ts";

import { type Access, check, createTable, expect, isBeingDeleted, pathOf } from "./tableAccess.ts";
import { list, listTables, read, scan } from "./tableReads.ts";
import { insert, transact, update } from "./tableWrites.ts";

export type { StoredRow, TableOperation, Value, Values };

export interface RowKey {
  readonly table: string;
  readonly partitionKey: string;
  readonly rowKey: string;
  /** The one day that the table is for. Once that day is over, the table is not created (again) (R103). */
  readonly day?: Day;
}

/** Rows of one partition in the order of their row keys. */
export interface RowRange {
  readonly table: string;
  readonly partitionKey: string;
  /** Only rows after this key. */
  readonly after?: string;
  /** Only rows before this key. */
  readonly before?: string;
  /** Only these properties; without it all of them. */
  readonly select?: readonly string[];
}

/** A part of a whole table; `next` continues it, and is an opaque text that can be stored. */
export interface TablePage {
  readonly rows: readonly StoredRow[];
  readonly next?: string;
}

/**
 * Every write is conditional in one way: without an ETag it inserts, with one it changes exactly that version. It
 * answers the ETag of the version written, or `undefined` where somebody else was faster: read again and decide anew.
 */
export interface Tables {
  /** All properties, or only those named. A missing table is empty. */
  readonly read: (
    key: RowKey,
    signal: AbortSignal,
    select?: readonly string[],
  ) => Promise<StoredRow | undefined>;
  /** At most `limit` rows. */
  readonly list: (range: RowRange, limit: number, signal: AbortSignal) => Promise<readonly StoredRow[]>;
  /** One page of all partitions, from the beginning or from where another page ended. */
  readonly scan: (
    table: string,
    from: string | undefined,
    limit: number,
    signal: AbortSignal,
  ) => Promise<TablePage>;
  /** Inserts (and creates a missing table), or replaces a version. */
  readonly write: (
    key: RowKey,
    values: Values,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
  /** Changes only the properties named, of exactly the version read before. */
  readonly merge: (
    key: RowKey,
    values: Values,
    etag: string,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
  /** Deletes exactly the version read before. True too for a row that is gone: that is what was wanted. */
  readonly remove: (key: RowKey, etag: string, signal: AbortSignal) => Promise<boolean>;
  /**
   * Up to 100 changes of one partition, all of them or none. Answers the ETags of the rows written, in the order of the
   * operations, or `undefined` where one of them met another version, a row that exists (insert) or is missing.
   */
  readonly transact: (
    table: string,
    partitionKey: string,
    operations: readonly TableOperation[],
    signal: AbortSignal,
  ) => Promise<readonly (string | undefined)[] | undefined>;
  /** The names of the tables that begin so (at least one letter), without the prefix that all share. */
  readonly listTables: (beginning: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** Creates a table, for a day that is not over if it is for one. */
  readonly makeTable: (table: string, day: Day | undefined, signal: AbortSignal) => Promise<void>;
  /** Drops a table with all its rows. One that is gone, or being deleted, is no failure. */
  readonly dropTable: (table: string, signal: AbortSignal) => Promise<void>;
}

export type TablesOptions = TransportOptions;

/** @throws Error when the SDK cannot work with the connection string, or an endpoint has no credential. */
export function createTables(options: TablesOptions): Tables {
  const { storage, clock } = options;
  const access: Access = {
    transport: createTableTransport(options),
    toName: (table) => storage.tablePrefix + table,
    refuseOver: (day) => {
      if (day !== undefined && day < toDay(clock.now())) throw new Error("a day that is over gets no table");
    },
  };
  return {
    read: (key, signal, select) => read(access, key, signal, select),
    list: (range, limit, signal) => list(access, range, limit, signal),
    scan: (table, from, limit, signal) => scan(access, table, { from, limit }, signal),
    write: (key, values, etag, signal) =>
      etag === undefined
        ? insert(access, key, values, signal)
        : update(access, "PUT", { key, values, etag }, signal),
    merge: (key, values, etag, signal) => update(access, "PATCH", { key, values, etag }, signal),
    remove: async (key, etag, signal) => {
      const request = { method: "DELETE", path: pathOf(access, key), headers: { "if-match": etag } } as const;
      return (await expect(access, request, [204, 404, 412], signal)).status !== 412;
    },
    transact: (table, partitionKey, operations, signal) =>
      transact(access, { table, partitionKey, operations }, signal),
    listTables: (beginning, signal) => listTables(access, beginning, signal),
    makeTable: async (table, day, signal) => {
      access.refuseOver(day);
      await createTable(access, table, signal);
    },
    dropTable: async (table, signal) => {
      const request = { method: "DELETE", path: `/Tables('${access.toName(table)}')` } as const;
      const answer = await access.transport.send(request, signal);
      if (answer.status === 409 && isBeingDeleted(answer)) return;
      check(answer, [204, 404]);
    },
  };
}
