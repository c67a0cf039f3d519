// Request bodies: strict JSON (RFC 8259) in strict UTF-8, with the source text of one member kept as it was
// given. JSON.parse alone would round numbers, drop members that stand twice and take unpaired surrogates. No I/O.
import { err, ok, type Result } from "./result.ts";

/** Levels of arrays and objects that a payload may have. */
export const MAX_PAYLOAD_DEPTH = 32;

export interface ParsedBody {
  readonly value: unknown;
  /** The source text of the top-level member that was asked to be kept; absent when the body has none. */
  readonly source?: string;
}

/** What is wrong, in words that hold nothing of the body. */
export type JsonFailure = { readonly reason: "body_invalid"; readonly detail: string };

interface Scan {
  readonly text: string;
  position: number;
}

/** Members that some code, somewhere, would take for more than data (R67). */
const FORBIDDEN_NAMES: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Parses a body. Outside `verbatim` (a top-level member's name) a member that stands twice is refused; inside it
 * nothing is judged but that it is JSON, not nested too deeply, and without unpaired surrogates.
 */
export function parseJsonBody(bytes: Uint8Array, verbatim?: string): Result<ParsedBody, JsonFailure> {
  let text: string;
  try {
    // ignoreBOM keeps a byte order mark in the text, where JSON.parse refuses it (RFC 8259 §8.1).
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return failure("the body is not UTF-8");
  }
  // Before anything recursive sees it: the body's own object is one level more.
  if (isDeeperThan(text, MAX_PAYLOAD_DEPTH + 1)) return failure("the body is nested too deeply");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return failure("the body is not JSON");
  }
  // From here on the text is known to be JSON, so the scan need not check the grammar again.
  const scan: Scan = { text, position: 0 };
  const found: { source?: string } = {};
  const fault = scanValue(scan, (name) => {
    if (name !== verbatim) return undefined;
    return (source) => {
      found.source = source;
    };
  });
  if (fault !== undefined) return failure(fault);
  return ok({ value, ...found });
}

function failure(detail: string): Result<never, JsonFailure> {
  return err({ reason: "body_invalid", detail });
}

/** Counts brackets outside strings; right for JSON, and harmless for what is not. */
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

/** Walks one value; answers what is wrong with it. `keepOf` says which members' source text is wanted. */
function scanValue(scan: Scan, keepOf: (name: string) => Keep | undefined): string | undefined {
  skipSpace(scan);
  const first = scan.text[scan.position];
  if (first === '"')
    return scanString(scan) === undefined ? "a string holds an unpaired surrogate" : undefined;
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
    const fault = scanValue(scan, () => undefined);
    if (fault !== undefined) return fault;
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
    if (name === undefined) return "a member's name holds an unpaired surrogate";
    if (names.has(name)) return "a member stands twice";
    if (FORBIDDEN_NAMES.has(name)) return "a member has a name that is not allowed";
    names.add(name);
    skipSpace(scan);
    scan.position++; // the colon
    skipSpace(scan);
    const start = scan.position;
    const keep = keepOf(name);
    const fault = keep === undefined ? scanValue(scan, () => undefined) : skipVerbatim(scan);
    if (fault !== undefined) return fault;
    keep?.(scan.text.slice(start, scan.position));
  }
  scan.position++;
  return undefined;
}

/** Passes over a value of which only the strings and the depth matter. */
function skipVerbatim(scan: Scan): string | undefined {
  let depth = 0;
  do {
    skipSpace(scan);
    const c = scan.text[scan.position];
    if (c === '"') {
      if (scanString(scan) === undefined) return "the payload holds an unpaired surrogate";
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

/** The string at the position, decoded; `undefined` when it holds an unpaired surrogate. */
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
  // Unescaped, it came out of strict UTF-8 and cannot hold one.
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
