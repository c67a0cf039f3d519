// JSON of a shape that is not known yet. No I/O.

export type JsonObject = Readonly<Record<string, unknown>>;

/** Returns `undefined` for what is not JSON. No schema accepts that, and no JSON text means it. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns a copy of an object, and `undefined` for anything else, null and arrays included. */
export function toObject(value: unknown): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}
