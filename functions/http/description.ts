// What a route says of itself to its callers: the API's document (openApi.ts) is made of these. Types alone.
import type * as z from "zod";
import type { Reason } from "../../shared/problem.ts";

/**
 * One route, beside its handler. What all routes of a kind have in common is not repeated here: credentials, the
 * correlation id, and the problems of tokens, queries, bodies and deadlines (`toReasons` in openApi.ts).
 */
export interface Description {
  /** A few words without a full stop. */
  readonly summary: string;
  /** CommonMark. */
  readonly description: string;
  /** Of the path, the query and the headers, by name. */
  readonly parameters?: Readonly<Record<string, Parameter>>;
  readonly body?: Body;
  /** The 2xx answers, by status. */
  readonly answers: Readonly<Record<number, Success>>;
  /** The route's own reasons to refuse. */
  readonly problems: readonly Reason[];
}

export interface Parameter {
  readonly in: "path" | "query" | "header";
  readonly description: string;
  /** Of the text as a caller writes it. */
  readonly schema: z.ZodType;
  /** Those of a path always are. */
  readonly isRequired?: boolean;
  readonly example?: unknown;
}

export interface Body {
  /** The one that parses it, with an `id` in its `.meta()`: its name in the document. */
  readonly schema: z.ZodType;
  /** By name. The tests send each, and expect it to be taken. */
  readonly examples: Readonly<Record<string, unknown>>;
}

export interface Success {
  readonly description: string;
  /** Absent for answers without a body; has an `id` in its `.meta()`. */
  readonly schema?: z.ZodType;
  readonly example?: unknown;
  readonly headers?: Readonly<Record<string, Header>>;
}

export interface Header {
  readonly description: string;
  readonly schema: z.ZodType;
  /** False where only some of the answers with this status carry it. */
  readonly isRequired?: boolean;
}
