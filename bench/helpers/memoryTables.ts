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

export function createMemoryTables(): CountedTables {
  const partitions = new Map<string, Partition>();
  const counts = new Map<string, number>();
  let version = 0;
  const open = (table: string, partitionKey: string): Partition => {
    const name = `${table} ${partitionKey}`;
    const known = partitions.get(name) ?? { rows: new Map<string, StoredRow>(), keys: [], isSorted: true };
    partitions.set(name, known);
    return known;
  };
  const count = (table: string, partitionKey: string, entities: number) => {
    const name = `${table} ${partitionKey}`;
    counts.set(name, (counts.get(name) ?? 0) + entities);
  };
  const put = ({ table, partitionKey, rowKey }: RowKey, values: Values): string => {
    const partition = open(table, partitionKey);
    if (!partition.rows.has(rowKey)) {
      partition.isSorted &&= rowKey > (partition.keys.at(-1) ?? "");
      partition.keys.push(rowKey);
    }
    const etag = String(++version);
    partition.rows.set(rowKey, { partitionKey, rowKey, etag, values: { v: 1, ...values } });
    return etag;
  };
  const find = ({ table, partitionKey, rowKey }: RowKey) => open(table, partitionKey).rows.get(rowKey);
  const change = (key: RowKey, etag: string | undefined, toValues: (old: object) => Values) => {
    count(key.table, key.partitionKey, 1);
    const old = find(key);
    if (old?.etag !== etag) return Promise.resolve(undefined);
    return Promise.resolve(put(key, toValues(old?.values ?? {})));
  };
  return {
    counts,
    read: (key) => {
      count(key.table, key.partitionKey, 1);
      return Promise.resolve(find(key));
    },
    list: (range, limit) => {
      const rows = listRows(open(range.table, range.partitionKey), range, limit);
      count(range.table, range.partitionKey, Math.max(1, rows.length));
      return Promise.resolve(rows);
    },
    write: (key, values, etag) => change(key, etag, () => values),
    merge: (key, values, etag) => change(key, etag, (old) => ({ ...old, ...values })),
    remove: (key, etag) => {
      count(key.table, key.partitionKey, 1);
      const isSame = find(key)?.etag === etag;
      if (isSame) open(key.table, key.partitionKey).rows.delete(key.rowKey);
      return Promise.resolve(isSame);
    },
    transact: (table, partitionKey, operations) => {
      count(table, partitionKey, operations.length);
      const { rows } = open(table, partitionKey);
      if (!operations.every((operation) => isPossible(operation, rows.get(operation.rowKey))))
        return Promise.resolve(undefined);
      const etags = operations.map((operation) => {
        if (operation.kind !== "delete")
          return put({ table, partitionKey, rowKey: operation.rowKey }, operation.values);
        rows.delete(operation.rowKey);
        return undefined;
      });
      return Promise.resolve(etags);
    },
    scan: () => Promise.resolve({ rows: [] }),
    listTables: () => Promise.resolve([]),
    makeTable: () => Promise.resolve(),
    dropTable: () => Promise.resolve(),
  };
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
