// Writing rows of Azure Table Storage: conditional writes that recognise their own success when the answer was lost (R93).
import { randomUUID } from "node:crypto";
import {
  BATCH_CONTENT_TYPE,
  MAX_OPERATIONS,
  parseBatchAnswer,
  type TableOperation,
  toBatchBody,
} from "./tableBatch.ts";
import { ROW_VERSION, toEntityText, type Values } from "./tableEntity.ts";
import type { TableRequest } from "./tableTransport.ts";
import { type Access, createTable, expect, pathOf, toError } from "./tableAccess.ts";
import { read } from "./tableReads.ts";
import type { RowKey } from "./table.ts";

/**
 * A write carries a value of its own, `w`. The SDK repeats a request whose answer was lost, and then the store refuses
 * the repetition although the first one took effect (R93); `w` tells whose write it was.
 */
function stamp(values: Values, w: string = randomUUID()): { readonly w: string; readonly stamped: Values } {
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

export async function insert(
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

export async function update(
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

export async function transact(
  access: Access,
  { table, partitionKey, operations }: Transaction,
  signal: AbortSignal,
): Promise<readonly (string | undefined)[] | undefined> {
  if (operations.length > MAX_OPERATIONS) throw new Error("a transaction takes at most 100 operations");
  const w = randomUUID();
  const stamped = operations.map((operation) =>
    operation.kind === "delete" ? operation : { ...operation, values: stamp(operation.values, w).stamped },
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
