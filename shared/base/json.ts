// Parses request bodies: strict JSON (RFC 8259) in strict UTF-8, and keeps the source text of one member. JSON.parse alone
// would round numbers, drop duplicate members and accept unpaired surrogates. No I/O.
import { isSafeName } from "./safeName.ts";
import { err, ok, type Result } from "./result.ts";

/** The most levels of arrays and objects in a payload. */
export const MAX_PAYLOAD_DEPTH = 32;

export interface ParsedBody {
  readonly value: unknown;
  /** The source text of the `verbatim` member; absent if the body has no such member. */
  readonly source?: string;
}

/** `detail` contains nothing of the body except the name of a member that is a short identifier (R65). */
export type JsonFailure = { readonly reason: "body_invalid"; readonly detail: string };

interface Scan {
  readonly text: string;
  position: number;
}

/** Names that JavaScript code can mistake for more than data (R67). */
const FORBIDDEN_NAMES: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Parses a body. `verbatim` is the name of a top-level member. Inside it, the text only has to be JSON without unpaired
 * surrogates and not nested too deeply. Everywhere else duplicate members and forbidden names are refused too.
 */
export function parseJsonBody(bytes: Uint8Array, verbatim?: string): Result<ParsedBody, JsonFailure> {
  let text: string;
  try {
    // ignoreBOM keeps a byte order mark in the text, and JSON.parse refuses it (RFC 8259 §8.1).
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuse("the body: must be UTF-8");
  }
  // Checked before any recursive code runs. The body itself is one level more.
  if (isDeeperThan(text, MAX_PAYLOAD_DEPTH + 1))
    return refuse(
      `the body: must have at most ${MAX_PAYLOAD_DEPTH} levels of arrays and objects in a member`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("the body: must be JSON");
  }
  // The text is JSON, so the scan does not check the grammar again.
  const scan: Scan = { text, position: 0 };
  const found: { source?: string } = {};
  const problem = scanValue(scan, (name) => {
    if (name !== verbatim) return undefined;
    return (source) => {
      found.source = source;
    };
  });
  if (problem !== undefined) return refuse(problem);
  return ok({ value, ...found });
}

function refuse(detail: string): Result<never, JsonFailure> {
  return err({ reason: "body_invalid", detail });
}

/** Counts brackets outside strings. Correct for JSON; for other text the result does not matter. */
function isDeeperThan(text: string, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 0x5c /* \ */) i++;
      else if (c === 0x22 /* " */) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x5b /* [ */ || c === 0x7b /* { */) {
      if (++depth > limit) return true;
    } else if (c === 0x5d || c === 0x7d) depth--;
  }
  return false;
}

type Keep = (source: string) => void;

/** Scans one value; answers what is wrong with it. `keepOf` gives the receiver of a member's source text, if it is wanted. */
function scanValue(scan: Scan, keepOf: (name: string) => Keep | undefined): string | undefined {
  skipSpace(scan);
  const first = scan.text[scan.position];
  if (first === '"')
    return scanString(scan) === undefined
      ? "the body: must have no string with an unpaired surrogate"
      : undefined;
  if (first === "{") return scanObject(scan, keepOf);
  if (first === "[") return scanArray(scan);
  while (scan.position < scan.text.length && !/[\s,\]}]/.test(scan.text[scan.position] ?? ""))
    scan.position++;
  return undefined;
}

function scanArray(scan: Scan): string | undefined {
  scan.position++;
  for (;;) {
    skipSpace(scan);
    const c = scan.text[scan.position];
    if (c === "]") break;
    if (c === ",") scan.position++;
    const problem = scanValue(scan, () => undefined);
    if (problem !== undefined) return problem;
  }
  scan.position++;
  return undefined;
}

function scanObject(scan: Scan, keepOf: (name: string) => Keep | undefined): string | undefined {
  scan.position++;
  const names = new Set<string>();
  for (;;) {
    skipSpace(scan);
    const c = scan.text[scan.position];
    if (c === "}") break;
    if (c === ",") {
      scan.position++;
      skipSpace(scan);
    }
    const name = scanString(scan);
    if (name === undefined) return "the body: must have no name with an unpaired surrogate";
    if (names.has(name))
      return isSafeName(name) ? `${name}: is given twice` : "the body: must not have a member twice";
    if (FORBIDDEN_NAMES.has(name)) return `${name}: is not an allowed name`;
    names.add(name);
    skipSpace(scan);
    scan.position++; // the colon
    skipSpace(scan);
    const start = scan.position;
    const keep = keepOf(name);
    const problem = keep === undefined ? scanValue(scan, () => undefined) : skipVerbatim(scan);
    if (problem !== undefined) return problem;
    keep?.(scan.text.slice(start, scan.position));
  }
  scan.position++;
  return undefined;
}

/** Skips a value; only its strings are checked. */
function skipVerbatim(scan: Scan): string | undefined {
  let depth = 0;
  do {
    skipSpace(scan);
    const c = scan.text[scan.position];
    if (c === '"') {
      if (scanString(scan) === undefined) return "payload: must have no string with an unpaired surrogate";
    } else if (c === "{" || c === "[") {
      depth++;
      scan.position++;
    } else if (c === "}" || c === "]") {
      depth--;
      scan.position++;
    } else if (c === "," || c === ":") scan.position++;
    else scanValue(scan, () => undefined); // a number or a literal
  } while (depth > 0);
  return undefined;
}

/** The string at the position, decoded; `undefined` if it has an unpaired surrogate. */
function scanString(scan: Scan): string | undefined {
  const start = scan.position;
  let end = start + 1;
  let escaped = false;
  for (; scan.text[end] !== '"'; end++)
    if (scan.text[end] === "\\") {
      escaped = true;
      end++;
    }
  scan.position = end + 1;
  // Without escapes it came from strict UTF-8, which has no surrogates.
  if (!escaped) return scan.text.slice(start + 1, end);
  const decoded = JSON.parse(scan.text.slice(start, end + 1)) as string;
  return decoded.isWellFormed() ? decoded : undefined;
}

function skipSpace(scan: Scan): void {
  for (;;) {
    const c = scan.text.charCodeAt(scan.position);
    if (c !== 0x20 && c !== 0x09 && c !== 0x0a && c !== 0x0d) return;
    scan.position++;
  }
}
