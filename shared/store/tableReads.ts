// Reading rows of Azure Table Storage: single rows, ranges of a partition, pages of a table, and the names of tables.
import { type StoredRow, toLiteral, toStoredRow } from "./tableEntity.ts";

import { type Access, expect, pathOf } from "./tableAccess.ts";
import type { RowKey, RowRange, TablePage } from "./table.ts";

/** What the store puts into one answer (Azure Tables: query timeout and pagination). */
const MAX_PAGE_ROWS = 1000;

export async function read(
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

export async function list(
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

export async function scan(
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

export async function listTables(
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
