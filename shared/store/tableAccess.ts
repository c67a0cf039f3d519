// What the operations on tables share: the transport, names and addresses, and which statuses are errors.
import type { Day } from "../domain/id.ts";
import { StoreUnavailableError } from "./store.ts";
import { toRowPath } from "./tableEntity.ts";
import type { RowKey } from "./table.ts";
import type { TableAnswer, TableRequest, TableTransport } from "./tableTransport.ts";

/** What every operation needs. */
export interface Access {
  readonly transport: TableTransport;
  /** The table's name at the store. */
  readonly toName: (table: string) => string;
  readonly refuseOver: (day: Day | undefined) => void;
}

export function pathOf({ toName }: Access, { table, partitionKey, rowKey }: RowKey): string {
  return toRowPath(toName(table), partitionKey, rowKey);
}

/** Sends, and answers only with a status that the caller expects. */
export async function expect(
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

export function check({ status }: TableAnswer, statuses: readonly number[]): void {
  if (!statuses.includes(status)) throw toError(status);
}

/** 400 and 413 are our own bugs. Everything else, refused credentials too, may pass. */
export function toError(status: number): Error {
  const message = `storage answered ${status}`;
  return status === 400 || status === 413 ? new Error(message) : new StoreUnavailableError(message);
}

export function isBeingDeleted({ text }: { readonly text: string }): boolean {
  return text.includes("TableBeingDeleted");
}

/** Makes a table; one that exists already is as good. */
export async function createTable(access: Access, table: string, signal: AbortSignal): Promise<void> {
  const request = {
    method: "POST",
    path: "/Tables",
    headers: { prefer: "return-no-content" },
    body: JSON.stringify({ TableName: access.toName(table) }),
  } as const;
  await expect(access, request, [201, 204, 409], signal);
}
