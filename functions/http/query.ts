// Which query parameters a call may have (R75). No I/O.
import type { HttpRequest } from "@azure/functions";
import { isSafeName } from "../../shared/base/safeName.ts";
import type { Failure } from "../../shared/problem.ts";

/** Refuses a parameter that the route does not know, and one that is given twice. */
export function checkQuery(request: HttpRequest, known: ReadonlySet<string>): Failure | undefined {
  const seen = new Set<string>();
  for (const name of new URL(request.url).searchParams.keys()) {
    if (!known.has(name))
      return toQueryFailure(
        isSafeName(name) ? `${name}: is not a known parameter` : "the query: has an unknown parameter",
      );
    if (seen.has(name)) return toQueryFailure(`${name}: is given more than once`);
    seen.add(name);
  }
  return undefined;
}

function toQueryFailure(detail: string): Failure {
  return { reason: "query_invalid", detail };
}
