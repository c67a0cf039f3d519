// Azure Table Storage: single-row operations and transactions of one partition. They create missing tables, recognise
// their own success when the answer was lost (R93), and tell what cannot be reached from what is wrong.
import { randomUUID } from "node:crypto";
import { type Day, toDay } from "../domain/id.ts";
import { StoreUnavailableError } from "./store.ts";
import {
  BATCH_CONTENT_TYPE,
  MAX_OPERATIONS,
  parseBatchAnswer,
  type TableOperation,
  toBatchBody,
} from "./tableBatch.ts";
import {
  type StoredRow,
  toEntityText,
  toLiteral,
  toRowPath,
  toStoredRow,
  type Value,
  type Values,
} from "./tableEntity.ts";
import {
  createTableTransport,
  type TableAnswer,
  type TableRequest,
  type TableTransport,
  type TransportOptions,
} from "./tableTransport.ts";

export type { StoredRow, TableOperation, Value, Values };

export interface RowKey {
  readonly table: string;
  readonly partitionKey: string;
  readonly rowKey: string;
  /** The one day that the table is for. Once that day is over, the table is not created (again) (R103). */
  readonly day?: Day;
}

/** Rows of one partition in the order of their row keys. */
interface RowRange {
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
interface TablePage {
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

/** The shape of every row of this version. */
export const ROW_VERSION = 1;
/** What the store puts into one answer (Azure Tables: query timeout and pagination). */
const MAX_PAGE_ROWS = 1000;

/** What the operations below share. */
interface Access {
  readonly transport: TableTransport;
  /** The table's name at the store. */
  readonly toName: (table: string) => string;
  readonly refuseOver: (day: Day | undefined) => void;
}

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

function pathOf({ toName }: Access, { table, partitionKey, rowKey }: RowKey): string {
  return toRowPath(toName(table), partitionKey, rowKey);
}

async function read(
  access: Access,
  key: RowKey,
  signal: AbortSignal,
  select?: readonly string[],
): Promise<StoredRow | undefined> {
  const query = select === undefined ? {} : { query: { $select: select.join(",") } };
  const request = { method: "GET", path: pathOf(access, key), ...query } as const;
  const answer = await expect(access, request, [200, 404], signal);
  if (answer.status === 404) return undefined;
  const row = toStoredRow(JSON.parse(answer.text) as Record<string, unknown>);
  // Without the keys among the properties asked for, the answer does not name them.
  return { ...row, partitionKey: key.partitionKey, rowKey: key.rowKey };
}

async function list(
  access: Access,
  { table, partitionKey, after, before, select }: RowRange,
  limit: number,
  signal: AbortSignal,
): Promise<readonly StoredRow[]> {
  const filter = [
    `PartitionKey eq ${toLiteral(partitionKey)}`,
    ...(after === undefined ? [] : [`RowKey gt ${toLiteral(after)}`]),
    ...(before === undefined ? [] : [`RowKey lt ${toLiteral(before)}`]),
  ].join(" and ");
  const rows: StoredRow[] = [];
  let from: string | undefined;
  do {
    const query = { filter, from, limit: limit - rows.length, ...(select && { select }) };
    const page = await scan(access, table, query, signal);
    rows.push(...page.rows);
    from = page.next;
  } while (from !== undefined && rows.length < limit);
  return rows;
}

async function scan(
  access: Access,
  table: string,
  query: {
    readonly from: string | undefined;
    readonly limit: number;
    readonly filter?: string;
    readonly select?: readonly string[];
  },
  signal: AbortSignal,
): Promise<TablePage> {
  const { from, limit, filter, select } = query;
  const request = {
    method: "GET",
    path: `/${access.toName(table)}()`,
    query: {
      $top: String(Math.min(limit, MAX_PAGE_ROWS)),
      ...(filter === undefined ? {} : { $filter: filter }),
      ...(select === undefined ? {} : { $select: [...select, "PartitionKey", "RowKey"].join(",") }),
      ...toContinuation(from),
    },
  } as const;
  const answer = await expect(access, request, [200, 404], signal);
  if (answer.status === 404) return { rows: [] }; // a missing table is empty
  const { value } = JSON.parse(answer.text) as { readonly value: readonly Record<string, unknown>[] };
  const next = ["nextpartitionkey", "nextrowkey"].map((name) => answer.header(`x-ms-continuation-${name}`));
  const rows = value.map(toStoredRow);
  return next[0] === undefined ? { rows } : { rows, next: JSON.stringify(next.map((key) => key ?? "")) };
}

function toContinuation(from: string | undefined): Record<string, string> {
  if (from === undefined) return {};
  const [partitionKey = "", rowKey = ""] = JSON.parse(from) as readonly string[];
  return { NextPartitionKey: partitionKey, ...(rowKey === "" ? {} : { NextRowKey: rowKey }) };
}

/**
 * A write carries a value of its own, `w`. The SDK repeats a request whose answer was lost, and then the store refuses
 * the repetition although the first one took effect (R93); `w` tells whose write it was.
 */
function stamp(values: Values): { readonly w: string; readonly stamped: Values } {
  const w = randomUUID();
  return { w, stamped: { v: ROW_VERSION, w, ...values } };
}

async function recognise(
  access: Access,
  key: RowKey,
  w: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = await read(access, key, signal, ["w"]);
  return found?.values["w"] === w ? found.etag : undefined;
}

async function insert(
  access: Access,
  key: RowKey,
  values: Values,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { w, stamped } = stamp(values);
  const request: TableRequest = {
    method: "POST",
    path: `/${access.toName(key.table)}`,
    headers: { prefer: "return-no-content" },
    body: toEntityText(key.partitionKey, key.rowKey, stamped),
  };
  let answer = await expect(access, request, [204, 404, 409], signal);
  if (answer.status === 404) {
    access.refuseOver(key.day);
    await createTable(access, key.table, signal);
    answer = await expect(access, request, [204, 409], signal);
  }
  return answer.status === 204 ? answer.header("etag") : recognise(access, key, w, signal);
}

async function update(
  access: Access,
  method: "PUT" | "PATCH",
  { key, values, etag }: { readonly key: RowKey; readonly values: Values; readonly etag: string },
  signal: AbortSignal,
): Promise<string | undefined> {
  const { w, stamped } = stamp(values);
  const request: TableRequest = {
    method,
    path: pathOf(access, key),
    headers: { "if-match": etag },
    body: toEntityText(key.partitionKey, key.rowKey, stamped),
  };
  const answer = await expect(access, request, [204, 404, 409, 412], signal);
  return answer.status === 204 ? answer.header("etag") : recognise(access, key, w, signal);
}

interface Transaction {
  readonly table: string;
  readonly partitionKey: string;
  readonly operations: readonly TableOperation[];
}

async function transact(
  access: Access,
  { table, partitionKey, operations }: Transaction,
  signal: AbortSignal,
): Promise<readonly (string | undefined)[] | undefined> {
  if (operations.length > MAX_OPERATIONS) throw new Error("a transaction takes at most 100 operations");
  const { w } = stamp({});
  const stamped = operations.map((operation) =>
    operation.kind === "delete"
      ? operation
      : { ...operation, values: { v: ROW_VERSION, w, ...operation.values } },
  );
  const { transport, toName } = access;
  const request: TableRequest = {
    method: "POST",
    path: "/$batch",
    headers: { "content-type": BATCH_CONTENT_TYPE, accept: "application/json" },
    body: toBatchBody(transport.url, toName(table), partitionKey, stamped),
  };
  for (let tries = 0; ; tries++) {
    const answer = await expect(access, request, [202], signal);
    const parsed = parseBatchAnswer(answer.text);
    if (parsed.kind === "written") return parsed.etags;
    if (parsed.status === 404 && parsed.text.includes("TableNotFound") && tries === 0) {
      await createTable(access, table, signal);
      continue;
    }
    if (![404, 409, 412].includes(parsed.status)) throw toError(parsed.status);
    return recogniseAll(access, { table, partitionKey, operations: stamped }, w, signal);
  }
}

/** The ETags of a transaction that took effect although its answer was lost. */
async function recogniseAll(
  access: Access,
  { table, partitionKey, operations }: Transaction,
  w: string,
  signal: AbortSignal,
): Promise<readonly (string | undefined)[] | undefined> {
  const etags: (string | undefined)[] = [];
  for (const { kind, rowKey } of operations) {
    if (kind === "delete") etags.push(undefined);
    else {
      const etag = await recognise(access, { table, partitionKey, rowKey }, w, signal);
      if (etag === undefined) return undefined;
      etags.push(etag);
    }
  }
  if (etags.some((etag) => etag !== undefined)) return etags;
  // Deletions alone leave nothing to recognise; it is done where all of the rows are gone.
  for (const { rowKey } of operations)
    if ((await read(access, { table, partitionKey, rowKey }, signal, ["w"])) !== undefined) return undefined;
  return etags;
}

async function listTables(
  access: Access,
  beginning: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const from = access.toName(beginning);
  const prefix = access.toName("");
  // Names hold letters and digits alone; "{" is the character after "z", the last of them.
  const filter = `TableName ge ${toLiteral(from)} and TableName lt ${toLiteral(`${from}{`)}`;
  const names: string[] = [];
  let next: string | undefined;
  do {
    const query = { $filter: filter, ...(next === undefined ? {} : { NextTableName: next }) };
    const answer = await expect(access, { method: "GET", path: "/Tables", query }, [200], signal);
    const { value } = JSON.parse(answer.text) as {
      readonly value: readonly { readonly TableName: string }[];
    };
    for (const { TableName } of value)
      if (TableName.startsWith(from)) names.push(TableName.slice(prefix.length));
    next = answer.header("x-ms-continuation-nexttablename");
  } while (next !== undefined);
  return names;
}

async function createTable(access: Access, table: string, signal: AbortSignal): Promise<void> {
  const request = {
    method: "POST",
    path: "/Tables",
    headers: { prefer: "return-no-content" },
    body: JSON.stringify({ TableName: access.toName(table) }),
  } as const;
  const answer = await access.transport.send(request, signal);
  if (answer.status === 409 && isBeingDeleted(answer)) throw toError(answer.status);
  check(answer, [201, 204, 409]);
}

/** Sends, and answers only with a status that the caller expects. */
async function expect(
  { transport }: Access,
  request: TableRequest,
  statuses: readonly number[],
  signal: AbortSignal,
): Promise<TableAnswer> {
  const answer = await transport.send(request, signal);
  // The name of a table that is being deleted is refused: its rows neither exist nor are they missing.
  if (answer.status === 409 && isBeingDeleted(answer)) throw toError(answer.status);
  check(answer, statuses);
  return answer;
}

function check({ status }: TableAnswer, statuses: readonly number[]): void {
  if (!statuses.includes(status)) throw toError(status);
}

/** 400 and 413 are our own bugs. Everything else, refused credentials too, may pass. */
function toError(status: number): Error {
  const message = `storage answered ${status}`;
  return status === 400 || status === 413 ? new Error(message) : new StoreUnavailableError(message);
}

function isBeingDeleted({ text }: { readonly text: string }): boolean {
  return text.includes("TableBeingDeleted");
}
