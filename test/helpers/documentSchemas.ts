// Compares values with the schemas of the API's document. No I/O.
import { type AnySchemaObject, Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { OpenApi } from "../../functions/openapi/openApiDocument.ts";

/** A document with its compiled schemas. */
export interface Compiled {
  readonly document: OpenApi;
  readonly ajv: Ajv2020;
  readonly validators: Map<string, ValidateFunction>;
}

export function compileDocument(document: OpenApi): Compiled {
  const ajv = new Ajv2020({ allErrors: true, strict: true, strictTypes: false, strictRequired: false });
  ajv.addFormat("date-time", true); // the pattern beside it says more
  ajv.addKeyword("discriminator"); // for generators; `oneOf` says the same
  return { document, ajv, validators: new Map() };
}

/**
 * Why a value does not match a schema; `undefined` if it does. `isClosed`: it may have no member that the schema does not
 * name.
 */
export function findMismatch(
  compiled: Compiled,
  schema: AnySchemaObject,
  value: unknown,
  isClosed = false,
): string | undefined {
  const { ajv, document, validators } = compiled;
  const key = `${isClosed} ${JSON.stringify(schema)}`;
  let validate = validators.get(key);
  if (validate === undefined) {
    const $defs = document.components.schemas;
    const text = JSON.stringify({ ...schema, $defs }, (_name, part: unknown) =>
      isClosed ? close(part) : part,
    );
    validate = ajv.compile(JSON.parse(text.replaceAll("#/components/schemas/", "#/$defs/")) as object);
    validators.set(key, validate);
  }
  return validate(value) ? undefined : ajv.errorsText(validate.errors);
}

/** The same for a parameter or header, which is text. */
export function findTextMismatch(
  compiled: Compiled,
  schema: AnySchemaObject,
  text: string,
): string | undefined {
  return findMismatch(compiled, schema, toValue(schema, text));
}

function toValue(schema: AnySchemaObject, text: string): unknown {
  const { type } = schema as { readonly type?: string };
  if ((type === "integer" || type === "number") && /^-?\d+(?:\.\d+)?$/.test(text)) return Number(text);
  if (type === "boolean" && (text === "true" || text === "false")) return text === "true";
  return text;
}

/** An object whose schema lists members accepts no others. */
function close(part: unknown): unknown {
  const isOpen =
    typeof part === "object" &&
    part !== null &&
    "type" in part &&
    part.type === "object" &&
    "properties" in part &&
    !("additionalProperties" in part);
  return isOpen ? { ...part, additionalProperties: false } : part;
}
