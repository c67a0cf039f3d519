// How a route describes itself to its callers. openApi.ts makes the API's document from these. Types alone.
import type * as z from "zod";
import type { Reason } from "../../shared/problem.ts";

/**
 * The description of one route, in the file of its handler. openApi.ts adds what all routes of a kind have in common:
 * credentials, the correlation id, and the problems of tokens, queries, bodies and deadlines (`toReasons` in openApiProblems.ts).
 */
export interface Description {
  /** A few words without a full stop. */
  readonly summary: string;
  /** CommonMark. */
  readonly description: string;
  /** Parameters in the path, the query and the headers, by name. */
  readonly parameters?: Readonly<Record<string, Parameter>>;
  readonly body?: Body;
  /** The 2xx answers, by status. */
  readonly answers: Readonly<Record<number, Success>>;
  /** The route's own reasons to refuse a call. */
  readonly problems: readonly Reason[];
}

export interface Parameter {
  readonly in: "path" | "query" | "header";
  readonly description: string;
  /** The schema of the text as a caller writes it. */
  readonly schema: z.ZodType;
  /** Parameters in the path are always required. */
  readonly isRequired?: boolean;
  readonly example?: unknown;
}

export interface Body {
  /** The schema that parses it. The `id` in its `.meta()` is its name in the document. */
  readonly schema: z.ZodType;
  /** By name. The tests send each one and expect it to be accepted. */
  readonly examples: Readonly<Record<string, unknown>>;
}

export interface Success {
  readonly description: string;
  /** Absent for answers without a body. The `id` in its `.meta()` is its name in the document. */
  readonly schema?: z.ZodType;
  readonly example?: unknown;
  readonly headers?: Readonly<Record<string, Header>>;
}

export interface Header {
  readonly description: string;
  readonly schema: z.ZodType;
  /** False if only some answers with this status have it. */
  readonly isRequired?: boolean;
}
