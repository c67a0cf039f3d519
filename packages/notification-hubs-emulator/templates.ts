// The template language (docs/notification-hubs-protocol.md §10). No I/O.
import { err, ok, type Result } from "./result.ts";
import type { InstallationTemplate } from "./installation.ts";
import { parseJson } from "./json.ts";
import { escapeXml, unescapeXml } from "./xml.ts";

export interface RenderedTemplate {
  readonly body: string;
  readonly contentType: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What a property name may be. */
export const PROPERTY_NAME = /^[A-Za-z0-9_]{1,120}$/;

type Properties = ReadonlyMap<string, string>;
type Rendered<T> = Result<T, "template_invalid">;
/** `#(name)` makes a number, which JSON shows without quotes. */
type Value = string | number;

/** Names compare without case; of two properties with one name the later wins. */
export function toProperties(...layers: readonly Readonly<Record<string, string>>[]): Properties {
  return new Map(
    layers.flatMap((layer) =>
      Object.entries(layer).map(([name, value]) => [name.toLowerCase(), value] as const),
    ),
  );
}

/** Expressions stand in JSON string values, XML attributes and XML text, or are a raw body as a whole. */
export function renderTemplate(
  template: InstallationTemplate,
  properties: Properties,
): Rendered<RenderedTemplate> {
  const headers = new Map<string, string>();
  for (const [name, text] of Object.entries(template.headers ?? {})) {
    const value = evaluate(text, properties);
    if (!value.ok) return value;
    headers.set(name.toLowerCase(), String(value.value));
  }
  if (template.expiry !== undefined) {
    const expiry = evaluate(template.expiry, properties);
    if (!expiry.ok) return expiry;
    const atMs = Date.parse(String(expiry.value));
    if (Number.isNaN(atMs)) return err("template_invalid");
    headers.set("apns-expiration", String(Math.floor(atMs / 1000)));
  }
  const body = renderBody(template.body, properties);
  return body.ok ? ok({ ...body.value, headers: Object.fromEntries(headers) }) : body;
}

function renderBody(
  text: string,
  properties: Properties,
): Rendered<{ readonly body: string; readonly contentType: string }> {
  if (text.trimStart().startsWith("<")) {
    const body = renderXml(text, properties);
    return body.ok ? ok({ body: body.value, contentType: "application/xml" }) : body;
  }
  const json = parseJson(text);
  if (json === undefined) {
    const raw = evaluate(text, properties);
    return raw.ok ? ok({ body: String(raw.value), contentType: "application/octet-stream" }) : raw;
  }
  const rendered = renderJson(json, properties);
  return rendered.ok
    ? ok({ body: JSON.stringify(rendered.value), contentType: "application/json;charset=utf-8" })
    : rendered;
}

function renderJson(value: unknown, properties: Properties): Rendered<unknown> {
  if (typeof value === "string") return evaluate(value, properties);
  if (typeof value !== "object" || value === null) return ok(value);
  const rendered: [string, unknown][] = [];
  for (const [name, member] of Object.entries(value)) {
    const inner = renderJson(member, properties);
    if (!inner.ok) return inner;
    rendered.push([name, inner.value]);
  }
  return ok(Array.isArray(value) ? rendered.map(([, member]) => member) : Object.fromEntries(rendered));
}

/** Comments, CDATA and processing instructions stay as they are. */
const XML_PART =
  /<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>|<\?[\s\S]*?\?>|(<(?:[^<>"']|"[^"]*"|'[^']*')*>)|([^<]+)/g;

function renderXml(text: string, properties: Properties): Rendered<string> {
  let isValid = true;
  const render = (encoded: string) => {
    const value = evaluate(unescapeXml(encoded), properties);
    isValid &&= value.ok;
    return value.ok ? escapeXml(String(value.value)) : "";
  };
  const body = text.replaceAll(XML_PART, (whole: string, tag: unknown, content: unknown) => {
    if (typeof tag === "string")
      return tag.replaceAll(/=\s*(?:"([^"]*)"|'([^']*)')/g, (_, double: unknown, single: unknown) => {
        const encoded = typeof double === "string" ? double : single;
        return `="${typeof encoded === "string" ? render(encoded) : ""}"`;
      });
    if (typeof content !== "string" || content.trim() === "") return whole;
    const inner = content.trim();
    return content.replace(inner, () => render(inner));
  });
  return isValid ? ok(body) : err("template_invalid");
}

// `$(name)`, `$(name, n)`, `.(name, n)`, `%(name)`, `#(name)`; a default stands in braces after the name.
const PLACEHOLDER = /([$.%#])\(\s*([A-Za-z0-9_]+)\s*(?::\{((?:[^\\}]|\\.)*)\})?\s*(?:,\s*(\d+)\s*)?\)/y;
const LITERAL = /'((?:[^']|'')*)'|"((?:[^"]|"")*)"/y;

/**
 * A value is an expression as a whole or a literal as a whole; text around a bare placeholder is a literal.
 * In braces it must be a concatenation.
 */
function evaluate(text: string, properties: Properties): Rendered<Value> {
  const trimmed = text.trim();
  if (trimmed.startsWith("{") && trimmed.endsWith("}")) return concatenate(trimmed.slice(1, -1), properties);
  const placeholder = matchAt(PLACEHOLDER, trimmed, 0);
  if (placeholder === undefined || placeholder[0].length !== trimmed.length) return ok(text);
  return expand(placeholder, properties);
}

function concatenate(text: string, properties: Properties): Rendered<Value> {
  const values: Value[] = [];
  for (let at = skipSpace(text, 0); ; at = skipSpace(text, at + 1)) {
    const placeholder = matchAt(PLACEHOLDER, text, at);
    const literal = matchAt(LITERAL, text, at);
    if (placeholder !== undefined) {
      const value = expand(placeholder, properties);
      if (!value.ok) return value;
      values.push(value.value);
    } else if (literal !== undefined)
      values.push(literal[1]?.replaceAll("''", "'") ?? literal[2]?.replaceAll('""', '"') ?? "");
    else return err("template_invalid");
    at = skipSpace(text, at + (placeholder ?? literal ?? [""])[0].length);
    if (at === text.length) break;
    if (text[at] !== "+") return err("template_invalid");
  }
  const [first] = values;
  if (values.length === 1 && first !== undefined) return ok(first);
  // A number cannot be part of a concatenation.
  return values.some((value) => typeof value === "number") ? err("template_invalid") : ok(values.join(""));
}

function expand(match: RegExpExecArray, properties: Properties): Rendered<Value> {
  const [, form, name = "", fallback, length] = match;
  const value = properties.get(name.toLowerCase()) ?? fallback?.replaceAll(/\\(.)/g, "$1") ?? "";
  const clipped = length === undefined ? value : value.slice(0, Number(length));
  switch (form) {
    case ".": {
      if (length === undefined) return err("template_invalid");
      const room = Math.max(0, Number(length) - 3);
      return ok(value.length <= Number(length) ? value : `${value.slice(0, room)}...`);
    }
    case "%":
      return ok(encodeURIComponent(clipped.toWellFormed()));
    case "#": {
      const number = Number(value);
      return value.trim() === "" || !Number.isFinite(number) ? err("template_invalid") : ok(number);
    }
    default:
      return ok(clipped);
  }
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (/\s/.test(text[at] ?? "")) at++;
  return at;
}
