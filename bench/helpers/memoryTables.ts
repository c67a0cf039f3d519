// Tables in memory that count entities by partition, for simulations: what Azure limits is entities a second of a partition
// and of an account. They keep ETags and the order of keys, and are never slow. No I/O.
import type {
  RowKey,
  RowRange,
  StoredRow,
  TableOperation,
  Tables,
  Values,
} from "../../shared/store/table.ts";

export interface CountedTables extends Tables {
  /** Entities read, written or deleted so far, by `TABLE PARTITION`. */
  readonly counts: Map<string, number>;
}

interface Partition {
  readonly rows: Map<string, StoredRow>;
  /** The row keys in order; keys that are deleted stay until many are. */
  keys: string[];
  isSorted: boolean;
}

interface State {
  readonly partitions: Map<string, Partition>;
  readonly counts: Map<string, number>;
  /** Of the latest write; every row's ETag is one. */
  version: number;
}

export function createMemoryTables(): CountedTables {
  const state: State = { partitions: new Map(), counts: new Map(), version: 0 };
  const find = ({ table, partitionKey, rowKey }: RowKey) => open(state, table, partitionKey).rows.get(rowKey);
  const change = (key: RowKey, etag: string | undefined, toValues: (old: object) => Values) => {
    count(state, key, 1);
    const old = find(key);
    return Promise.resolve(old?.etag === etag ? put(state, key, toValues(old?.values ?? {})) : undefined);
  };
  return {
    counts: state.counts,
    read: (key) => {
      count(state, key, 1);
      return Promise.resolve(find(key));
    },
    list: (range, limit) => {
      const rows = listRows(open(state, range.table, range.partitionKey), range, limit);
      count(state, range, Math.max(1, rows.length));
      return Promise.resolve(rows);
    },
    write: (key, values, etag) => change(key, etag, () => values),
    merge: (key, values, etag) => change(key, etag, (old) => ({ ...old, ...values })),
    remove: (key, etag) => {
      count(state, key, 1);
      const isSame = find(key)?.etag === etag;
      if (isSame) open(state, key.table, key.partitionKey).rows.delete(key.rowKey);
      return Promise.resolve(isSame);
    },
    transact: (table, partitionKey, operations) =>
      Promise.resolve(transact(state, table, partitionKey, operations)),
    scan: () => Promise.resolve({ rows: [] }),
    listTables: () => Promise.resolve([]),
    makeTable: () => Promise.resolve(),
    dropTable: () => Promise.resolve(),
  };
}

function open({ partitions }: State, table: string, partitionKey: string): Partition {
  const name = `${table} ${partitionKey}`;
  const known = partitions.get(name) ?? { rows: new Map<string, StoredRow>(), keys: [], isSorted: true };
  partitions.set(name, known);
  return known;
}

function count(
  { counts }: State,
  { table, partitionKey }: Pick<RowKey, "table" | "partitionKey">,
  entities: number,
): void {
  const name = `${table} ${partitionKey}`;
  counts.set(name, (counts.get(name) ?? 0) + entities);
}

function put(state: State, { table, partitionKey, rowKey }: RowKey, values: Values): string {
  const partition = open(state, table, partitionKey);
  if (!partition.rows.has(rowKey)) {
    partition.isSorted &&= rowKey > (partition.keys.at(-1) ?? "");
    partition.keys.push(rowKey);
  }
  const etag = String(++state.version);
  partition.rows.set(rowKey, { partitionKey, rowKey, etag, values: { v: 1, ...values } });
  return etag;
}

function transact(
  state: State,
  table: string,
  partitionKey: string,
  operations: readonly TableOperation[],
): readonly (string | undefined)[] | undefined {
  count(state, { table, partitionKey }, operations.length);
  const { rows } = open(state, table, partitionKey);
  if (!operations.every((operation) => isPossible(operation, rows.get(operation.rowKey)))) return undefined;
  return operations.map((operation) => {
    const { kind, rowKey } = operation;
    if (kind !== "delete") return put(state, { table, partitionKey, rowKey }, operation.values);
    rows.delete(rowKey);
    return undefined;
  });
}

function isPossible(operation: TableOperation, row: StoredRow | undefined): boolean {
  if (operation.kind === "put") return true;
  if (operation.kind === "insert") return row === undefined;
  return row !== undefined && (!("etag" in operation) || operation.etag === row.etag);
}

function listRows(partition: Partition, { after = "", before }: RowRange, limit: number): StoredRow[] {
  const { rows } = partition;
  if (!partition.isSorted || partition.keys.length > 2 * rows.size) {
    partition.keys = [...rows.keys()].toSorted((a, b) => (a < b ? -1 : 1));
    partition.isSorted = true;
  }
  const found: StoredRow[] = [];
  for (let i = findAfter(partition.keys, after); i < partition.keys.length && found.length < limit; i++) {
    const key = partition.keys[i] ?? "";
    if (before !== undefined && key >= before) break;
    const row = rows.get(key);
    if (row !== undefined) found.push(row);
  }
  return found;
}

/** The index of the first key after this one. */
function findAfter(keys: readonly string[], after: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] ?? "") > after) high = middle;
    else low = middle + 1;
  }
  return low;
}
