// What is wrong with a body, in words that name its members and never their values (R65). No I/O.
import type * as z from "zod";
import type { Failure } from "../../shared/problem.ts";
import { err, ok, type Result } from "../../shared/base/result.ts";

/** Parses by a schema; the failure tells of the first fault. */
export function parseBody<T>(schema: z.ZodType<T>, value: unknown): Result<T, Failure> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return ok(parsed.data);
  return err({ reason: "body_invalid", detail: toDetail(parsed.error.issues) });
}

const MAX_DETAIL_CHARACTERS = 200;

function toDetail(issues: readonly z.core.$ZodIssue[]): string {
  const [issue] = issues;
  if (issue === undefined) return "is not valid";
  const path = issue.path.length === 0 ? "the body" : issue.path.join(".");
  return `${path}: ${toWords(issue)}`.slice(0, MAX_DETAIL_CHARACTERS);
}

function toWords(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be of type ${issue.expected}`;
    case "unrecognized_keys":
      return "holds an unknown member"; // its name is the caller's text
    case "too_small":
      return `must be at least ${issue.minimum}`;
    case "too_big":
      return `must be at most ${issue.maximum}`;
    case "invalid_value":
      return `must be one of ${issue.values.join(", ")}`;
    case "custom":
    case "invalid_format":
    case "invalid_union":
      return issue.message;
    default:
      return "is not valid";
  }
}
