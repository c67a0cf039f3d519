// The headers of answers that the API's document names in one place. No I/O.
import type { HeaderObject } from "./openApiDocument.ts";

export const CORRELATION_ID: HeaderObject = {
  description: "Also on every log line of the call. Quote it when you report a problem.",
  required: true,
  schema: { type: "string" },
};
export const RETRY_AFTER: HeaderObject = {
  description: "Seconds after which to try again.",
  required: true,
  schema: { type: "integer", minimum: 1 },
};
/** The headers of every answer of the code. */
export const EVERY_HEADER = { "X-Correlation-Id": { $ref: "#/components/headers/CorrelationId" } };
