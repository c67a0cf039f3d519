// Entity group transactions: up to 100 changes of one partition, all of them or none. The SDK's own transaction cannot
// make a deletion conditional, so the body is written here. No I/O.
// Source: learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
import { toEntityText, toRowPath, type Values } from "./tableEntity.ts";

/** What one transaction takes (Azure Tables: at most 100 operations). */
export const MAX_OPERATIONS = 100;

/** `put` inserts the row or replaces whatever is there. An operation with an ETag changes exactly that version. */
export type TableOperation =
  | { readonly kind: "insert" | "put"; readonly rowKey: string; readonly values: Values }
  | { readonly kind: "replace"; readonly rowKey: string; readonly values: Values; readonly etag: string }
  | { readonly kind: "delete"; readonly rowKey: string; readonly etag?: string };

const BATCH = "batch_secure_push";
const CHANGES = "changeset_secure_push";

export const BATCH_CONTENT_TYPE = `multipart/mixed; boundary=${BATCH}`;

const METHODS = { insert: "POST", put: "PUT", replace: "PUT", delete: "DELETE" } as const;

/** The body of a transaction. `baseUrl` is the account's address. */
export function toBatchBody(
  baseUrl: string,
  table: string,
  partitionKey: string,
  operations: readonly TableOperation[],
): string {
  const parts = operations.map((operation) => {
    const { kind, rowKey } = operation;
    const path = kind === "insert" ? `/${table}` : toRowPath(table, partitionKey, rowKey);
    const condition = toCondition(operation);
    const body = kind === "delete" ? "" : toEntityText(partitionKey, rowKey, operation.values);
    return [
      `--${CHANGES}`,
      "Content-Type: application/http",
      "Content-Transfer-Encoding: binary",
      "",
      `${METHODS[kind]} ${baseUrl}${path} HTTP/1.1`,
      "Accept: application/json;odata=minimalmetadata",
      "Content-Type: application/json",
      "Prefer: return-no-content",
      "DataServiceVersion: 3.0",
      ...(condition === undefined ? [] : [`If-Match: ${condition}`]),
      "",
      body,
    ].join("\r\n");
  });
  return [
    `--${BATCH}`,
    `Content-Type: multipart/mixed; boundary=${CHANGES}`,
    "",
    ...parts,
    `--${CHANGES}--`,
    `--${BATCH}--`,
    "",
  ].join("\r\n");
}

function toCondition(operation: TableOperation): string | undefined {
  if (operation.kind === "delete") return operation.etag ?? "*";
  return "etag" in operation ? operation.etag : undefined;
}

/** `etags`: one for each operation, in their order. */
export type BatchAnswer =
  | { readonly kind: "written"; readonly etags: readonly (string | undefined)[] }
  | { readonly kind: "refused"; readonly status: number; readonly text: string };

/** Reads the answer of a transaction: one part for each operation, or one part for the operation that failed. */
export function parseBatchAnswer(text: string): BatchAnswer {
  const parts = text.split(/^HTTP\/1\.1 /m).slice(1);
  const etags: (string | undefined)[] = [];
  for (const part of parts) {
    const status = Number.parseInt(part, 10);
    if (!(status >= 200 && status < 300)) return { kind: "refused", status, text: part };
    etags.push(/^etag: (.+?)\r?$/im.exec(part)?.[1]);
  }
  if (etags.length === 0) return { kind: "refused", status: 500, text: "" };
  return { kind: "written", etags };
}
