// Rows as Azure Tables writes them on the wire: JSON with type annotations, and keys in addresses. No I/O.
// Source: learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations

/** A value of a property; a Date is an Edm.DateTime (milliseconds kept), bytes are Edm.Binary (64 KiB at most). */
export type Value = string | number | boolean | Date | Uint8Array;
export type Values = Readonly<Record<string, Value>>;

/** A row as it was read. */
export interface StoredRow {
  readonly partitionKey: string;
  readonly rowKey: string;
  readonly etag: string;
  /** Untyped until parsed: rows can be damaged, and older or newer than this code. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** The shape of every row of this version. */
export const ROW_VERSION = 1;

const TYPE = "@odata.type";

/** The JSON text of a row. */
export function toEntityText(partitionKey: string, rowKey: string, values: Values): string {
  const entity: Record<string, unknown> = { PartitionKey: partitionKey, RowKey: rowKey };
  for (const [name, value] of Object.entries(values)) {
    if (value instanceof Date) {
      entity[name + TYPE] = "Edm.DateTime";
      entity[name] = value.toISOString();
    } else if (value instanceof Uint8Array) {
      entity[name + TYPE] = "Edm.Binary";
      entity[name] = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
    } else entity[name] = value;
  }
  return JSON.stringify(entity);
}

/** Reads one row of an answer; properties that are null (asked for by name, and missing) are left out. */
export function toStoredRow(entity: Readonly<Record<string, unknown>>): StoredRow {
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(entity)) {
    if (value === null || name.includes("odata.")) continue;
    if (name === "PartitionKey" || name === "RowKey" || name === "Timestamp") continue;
    values[name] = toValue(value, entity[name + TYPE]);
  }
  return {
    partitionKey: toText(entity["PartitionKey"]),
    rowKey: toText(entity["RowKey"]),
    etag: toText(entity["odata.etag"]),
    values,
  };
}

function toValue(value: unknown, type: unknown): unknown {
  if (typeof value !== "string") return value;
  if (type === "Edm.DateTime") return new Date(value);
  if (type === "Edm.Binary") return Buffer.from(value, "base64");
  return value;
}

function toText(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** A row's address below the account's, such as `/outbox(PartitionKey='1',RowKey='a')`. */
export function toRowPath(table: string, partitionKey: string, rowKey: string): string {
  return `/${table}(PartitionKey='${quote(partitionKey)}',RowKey='${quote(rowKey)}')`;
}

/** A text inside single quotes in an address: quotes are doubled (OData), the rest is percent-encoded. */
function quote(text: string): string {
  return encodeURIComponent(text.replaceAll("'", "''"));
}

/** A text as a literal of a filter. */
export function toLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
