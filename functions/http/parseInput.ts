// Parses what callers send, and says what is wrong with it in words that name the member and the rule, never a value
// (R65). No I/O.
import type * as z from "zod";
import { isSafeName } from "../../shared/base/safeName.ts";
import { err, ok, type Result } from "../../shared/base/result.ts";

/** What a detail names where no member is to blame. */
const SOURCES = { body_invalid: "the body", query_invalid: "the query" } as const;

export interface InputFailure<R extends keyof typeof SOURCES> {
  readonly reason: R;
  readonly detail: string;
}

/**
 * Parses by a schema; a failure describes the first problem found. `rules` are the rules of members, by path, that depend
 * on the deployment, and replace what the schema says of them.
 */
export function parseInput<T, R extends keyof typeof SOURCES>(
  reason: R,
  schema: z.ZodType<T>,
  value: unknown,
  rules: Readonly<Record<string, string>> = {},
): Result<T, InputFailure<R>> {
  const parsed = schema.safeParse(value, { error: toRule, reportInput: true });
  if (parsed.success) return ok(parsed.data);
  const [issue] = parsed.error.issues;
  return err({
    reason,
    detail: issue === undefined ? "is not valid" : toDetail(SOURCES[reason], issue, rules),
  });
}

const MAX_DETAIL_CHARACTERS = 200;

function toDetail(source: string, issue: z.core.$ZodIssue, rules: Readonly<Record<string, string>>): string {
  if (issue.code === "unrecognized_keys") return toUnknownMember(source, issue);
  const path = issue.path.join(".");
  const isMissing = issue.code === "invalid_type" && issue.input === undefined;
  const rule = rules[path] ?? (isMissing ? "is missing" : issue.message);
  return `${path === "" ? source : path}: ${rule}`.slice(0, MAX_DETAIL_CHARACTERS);
}

function toUnknownMember(source: string, { keys, path }: z.core.$ZodIssueUnrecognizedKeys): string {
  const name = keys.find(isSafeName);
  if (name !== undefined) return `${[...path, name].join(".")}: is not a known member`;
  return `${path.length === 0 ? source : path.join(".")}: has an unknown member`;
}

/** The rule that a value breaks, where its schema has no words of its own. */
function toRule(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return TYPE_RULES[issue.expected] ?? `must be of type ${issue.expected}`;
    case "too_small":
      return `must be at least ${issue.minimum}`;
    case "too_big":
      return `must be at most ${issue.maximum}`;
    case "invalid_value":
      return `must be one of ${issue.values.join(", ")}`;
    default:
      return "is not valid";
  }
}

const TYPE_RULES: Readonly<Record<string, string>> = {
  string: "must be a string",
  number: "must be a number",
  int: "must be a whole number",
  boolean: "must be true or false",
  array: "must be an array",
  object: "must be an object",
};
