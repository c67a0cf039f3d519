// Route templates of HTTP functions, such as `notifications/{id}/read`: text to matcher. A segment is a literal or one
// parameter. Azure knows more: constraints, defaults, optional and catch-all parameters, several in one segment. The
// product uses none of them, so a template that holds one is refused. No I/O.

export interface RouteMatcher {
  /** The parameters, decoded, when the path fits. */
  readonly match: (segments: readonly string[]) => Readonly<Record<string, string>> | undefined;
}

type Segment =
  { readonly kind: "literal"; readonly text: string } | { readonly kind: "parameter"; readonly name: string };

/**
 * The segments of a request's path, decoded. An encoded slash stays encoded, as in Azure: it is part of a value and
 * never a separator. A trailing slash does not count. Other empty segments do count and match nothing.
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
        return piece; // not percent-encoded UTF-8: passed on unchanged
      }
    })
    .join("");
}

/** @throws Error that says what is wrong with the template. */
export function createRouteMatcher(template: string): RouteMatcher {
  const trimmed = template.replace(/\/$/, "");
  try {
    const segments = trimmed === "" ? [] : trimmed.split("/").map(parseSegment);
    checkNames(segments);
    return { match: (path) => matchSegments(segments, path) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`The route "${template}" is not valid: ${why}.`, { cause: error });
  }
}

function parseSegment(text: string): Segment {
  if (text === "") throw new Error("it has an empty segment");
  const name = /^\{([a-z_][a-z0-9_]*)\}$/i.exec(text)?.[1];
  if (name !== undefined) return { kind: "parameter", name };
  if (/[{}?]|^~/.test(text))
    throw new Error(`this host supports literals and {name} as whole segments, not "${text}"`);
  return { kind: "literal", text: text.toLowerCase() };
}

function checkNames(segments: readonly Segment[]): void {
  const names = new Set<string>();
  for (const segment of segments) {
    if (segment.kind === "literal") continue;
    const lower = segment.name.toLowerCase();
    if (names.has(lower)) throw new Error(`it has the parameter "${segment.name}" twice`);
    names.add(lower);
  }
}

/** The case of literals does not matter. */
function matchSegments(
  segments: readonly Segment[],
  path: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (path.length !== segments.length) return undefined;
  const values: [name: string, value: string][] = [];
  for (const [index, segment] of segments.entries()) {
    const value = path[index] ?? "";
    if (segment.kind === "parameter") {
      if (value === "") return undefined;
      values.push([segment.name, value]);
    } else if (value.toLowerCase() !== segment.text) return undefined;
  }
  return Object.fromEntries(values); // a parameter may have any name, such as `__proto__`
}
