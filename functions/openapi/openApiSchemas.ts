// The schemas of the API's document, made from the schemas that parse requests and type answers. No I/O.
import * as z from "zod";
import type { Schema } from "./openApiDocument.ts";

/** The input side of a schema, before it is transformed: that is what callers write. */
const OPTIONS = { io: "input", override: adaptSchema } as const;
const uri = (id: string) => `#/components/schemas/${id}`;

/** A slash needs no escape outside JavaScript, and some generators fail on an escaped one. */
function adaptSchema({ jsonSchema }: { readonly jsonSchema: Schema }): void {
  const { pattern } = jsonSchema;
  if (pattern !== undefined) jsonSchema.pattern = pattern.replaceAll(String.raw`\/`, "/");
}

/** Every schema with an `id` in its `.meta()`. */
export function toNamedSchemas(): Record<string, Schema> {
  const { schemas } = z.toJSONSchema(z.globalRegistry, { ...OPTIONS, uri });
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, toPlain(schema)]));
}

/** A reference to a named schema; any other schema itself. */
export function toSchema(schema: z.ZodType): Schema {
  const id = z.globalRegistry.get(schema)?.id;
  return id === undefined ? toPlain(z.toJSONSchema(schema, OPTIONS)) : { $ref: uri(id) };
}

/** Drops members that have no place in OpenAPI. */
function toPlain({ $schema: _schema, $id: _id, id: _name, ...schema }: Schema): Schema {
  return schema;
}
