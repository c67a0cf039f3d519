// Route templates of HTTP functions, such as `push/{id:int}`, `files/{*rest}` or `items/{name?}`: text to matcher.
// No I/O.

export interface RouteMatcher {
  /** The parameters, decoded, when the path fits; a missing optional one is left out. */
  readonly match: (segments: readonly string[]) => Readonly<Record<string, string>> | undefined;
}

type Part =
  | { readonly kind: "literal"; readonly text: string }
  | ({ readonly kind: "parameter"; readonly name: string; readonly accepts: (value: string) => boolean } & {
      readonly optional: boolean;
      readonly catchAll: boolean;
      readonly defaultValue?: string;
    });

type Parameter = Extract<Part, { kind: "parameter" }>;

/**
 * The segments of a request's path, decoded. An encoded slash stays encoded, as in Azure: it is part of a value and
 * never a separator. A trailing slash does not count; empty segments elsewhere do, and fit nothing.
 */
export function toSegments(path: string): readonly string[] {
  const trimmed = path.replace(/^\//, "").replace(/\/$/, "");
  return trimmed === "" ? [] : trimmed.split("/").map(decodeSegment);
}

function decodeSegment(segment: string): string {
  return segment
    .split(/(%2f)/i)
    .map((piece) => {
      if (/^%2f$/i.test(piece)) return piece;
      try {
        return decodeURIComponent(piece);
      } catch {
        return piece; // not percent-encoded UTF-8: taken as it stands
      }
    })
    .join("");
}

/** @throws Error that says what is wrong with the template. */
export function createRouteMatcher(template: string): RouteMatcher {
  const fail = (why: string): never => {
    throw new Error(`The route "${template}" is not valid: ${why}.`);
  };
  if (/^[/~]/.test(template)) fail("it must not begin with / or ~");
  const trimmed = template.replace(/\/$/, "");
  const segments =
    trimmed === "" ? [] : trimmed.split(/\/(?![^{]*\})/).map((text) => parseSegment(text, fail));

  const names = new Set<string>();
  for (const [index, parts] of segments.entries()) {
    const isLast = index === segments.length - 1;
    const parameters = parts.filter((part) => part.kind === "parameter");
    for (const { name, optional, catchAll, defaultValue } of parameters) {
      if (names.has(name.toLowerCase())) fail(`the parameter "${name}" stands there twice`);
      names.add(name.toLowerCase());
      if (catchAll && (!isLast || parts.length > 1)) fail("a catch-all parameter must be the last segment");
      if ((optional || defaultValue !== undefined) && parts.length > 1)
        fail(`the parameter "${name}" can only be optional as a segment of its own`);
      if (optional && !isLast && !segments.slice(index + 1).every(isOmissible))
        fail(`the optional parameter "${name}" must be at the end`);
    }
    if (parts.some((part, at) => at > 0 && part.kind === "parameter" && parts[at - 1]?.kind === "parameter"))
      fail("two parameters in one segment need something between them");
  }
  return { match: (path) => matchSegments(segments, path) };
}

function isOmissible(parts: readonly Part[]): boolean {
  const [part] = parts;
  return part?.kind === "parameter" && (part.optional || part.catchAll || part.defaultValue !== undefined);
}

function matchSegments(
  segments: readonly (readonly Part[])[],
  path: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const values: [name: string, value: string][] = [];
  for (const [index, parts] of segments.entries()) {
    const [only] = parts;
    if (only?.kind === "parameter" && only.catchAll) {
      const rest = path.slice(index).join("/");
      const value = rest === "" ? only.defaultValue : rest;
      if (value !== undefined && !only.accepts(value)) return undefined;
      if (value !== undefined) values.push([only.name, value]);
      return Object.fromEntries(values);
    }
    const segment = path[index];
    if (segment === undefined) {
      if (only?.kind !== "parameter" || !isOmissible(parts)) return undefined;
      if (only.defaultValue !== undefined) values.push([only.name, only.defaultValue]);
      continue;
    }
    const found = matchSegment(parts, segment);
    if (found === undefined) return undefined;
    values.push(...found);
  }
  // fromEntries: a parameter may have any name, `__proto__` too
  return path.length > segments.length ? undefined : Object.fromEntries(values);
}

/** Literals count in any case. Of several ways to divide a segment, the last parameter gets the least. */
function matchSegment(parts: readonly Part[], segment: string): [string, string][] | undefined {
  const pattern = parts.map((part) => (part.kind === "literal" ? escapeRegExp(part.text) : "(.+)")).join("");
  const found = new RegExp(`^${pattern}$`, "isu").exec(segment);
  if (found === null) return undefined;
  const parameters = parts.filter((part) => part.kind === "parameter");
  const values = parameters.map(({ name }, index): [string, string] => [name, found[index + 1] ?? ""]);
  return parameters.every(({ accepts }, index) => accepts(values[index]?.[1] ?? "")) ? values : undefined;
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

function parseSegment(text: string, fail: (why: string) => never): readonly Part[] {
  if (text === "") fail("it has an empty segment");
  const parts: Part[] = [];
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf("{", at);
    const literal = text.slice(at, open === -1 ? undefined : open);
    if (/[}?]/.test(literal)) fail(`"${literal}" must not hold } or ?`);
    if (literal !== "") parts.push({ kind: "literal", text: literal });
    if (open === -1) break;
    const close = findClose(text, open);
    if (close === -1) fail("a { is not closed");
    parts.push(parseParameter(text.slice(open + 1, close), fail));
    at = close + 1;
  }
  return parts;
}

/** A regex constraint may hold braces of its own, in pairs. */
function findClose(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === "{") depth++;
    if (text[at] === "}" && --depth === 0) return at;
  }
  return -1;
}

function parseParameter(text: string, fail: (why: string) => never): Parameter {
  const [, stars = "", name = "", rest = ""] = /^(\*{0,2})([^\s:=?*{}/]+)(.*)$/s.exec(text) ?? [];
  if (name === "") fail(`"{${text}}" names no parameter`);
  const { constraints, tail } = splitConstraints(rest);
  if (tail !== "" && tail !== "?" && !tail.startsWith("=")) fail(`"{${text}}" cannot be read`);
  const checks = constraints.map((constraint) => toCheck(constraint, fail));
  return {
    kind: "parameter",
    name,
    catchAll: stars !== "",
    optional: tail === "?",
    accepts: (value) => checks.every((check) => check(value)),
    ...(tail.startsWith("=") ? { defaultValue: tail.slice(1) } : {}),
  };
}

/** `:int:range(1,5)?` is two constraints and a question mark; what stands in parentheses is not looked into. */
function splitConstraints(text: string): { readonly constraints: readonly string[]; readonly tail: string } {
  const constraints: string[] = [];
  let tail = text;
  for (;;) {
    const found = /^:([a-z]+(?:\((?:[^()]|\([^()]*\))*\))?)(.*)$/is.exec(tail);
    if (found === null) return { constraints, tail };
    constraints.push(found[1] ?? "");
    tail = found[2] ?? "";
  }
}

const INTEGER = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const GUID =
  /^(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[{(][0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}[)}])$/i;

function toCheck(constraint: string, fail: (why: string) => never): (value: string) => boolean {
  const [, name = "", inner = ""] = /^([a-z]+)(?:\((.*)\))?$/is.exec(constraint) ?? [];
  const [first = Number.NaN, second = first] = inner.split(",").map(Number);
  const check = toNamedCheck(name.toLowerCase(), inner, first, second);
  if (check === undefined) return fail(`the constraint "${constraint}" is not known`);
  if (
    /^(?:length|minlength|maxlength|min|max|range)$/i.test(name) &&
    (inner === "" || Number.isNaN(first + second))
  )
    return fail(`the constraint "${constraint}" wants numbers`);
  return check;
}

function toNamedCheck(
  name: string,
  inner: string,
  first: number,
  second: number,
): ((value: string) => boolean) | undefined {
  switch (name) {
    case "int":
      return (value) => isInteger(value, 32);
    case "long":
      return (value) => isInteger(value, 64);
    case "bool":
      return (value) => /^(?:true|false)$/i.test(value);
    case "alpha":
      return (value) => /^[a-z]*$/i.test(value);
    case "guid":
      return (value) => GUID.test(value);
    case "decimal":
    case "double":
    case "float":
      return (value) => NUMBER.test(value);
    case "datetime":
      return (value) => !Number.isNaN(Date.parse(value));
    case "required":
      return (value) => value !== "";
    case "length":
      return (value) => value.length >= first && value.length <= second;
    case "minlength":
      return (value) => value.length >= first;
    case "maxlength":
      return (value) => value.length <= first;
    case "min":
      return (value) => isInteger(value, 64) && Number(value) >= first;
    case "max":
      return (value) => isInteger(value, 64) && Number(value) <= first;
    case "range":
      return (value) => isInteger(value, 64) && Number(value) >= first && Number(value) <= second;
    case "regex": {
      const pattern = new RegExp(inner.replaceAll("{{", "{").replaceAll("}}", "}"), "i"); // braces may be doubled
      return (value) => pattern.test(value);
    }
    default:
      return undefined;
  }
}

function isInteger(value: string, bits: number): boolean {
  if (!INTEGER.test(value) || value.length > 40) return false;
  const number = BigInt(value.replace(/^\+/, ""));
  return BigInt.asIntN(bits, number) === number;
}
