// getOpenApi: the API's document, made at the first call and kept, so that a cold start does not pay for it. Its server is
// the address at which the caller reached the service, as the Functions host gives it. Forwarding headers of a caller
// (X-Forwarded-Host) are ignored: a gateway that has another address replaces `servers` in what it publishes.
import { answers } from "./http/answers.ts";
import type { Description } from "./http/description.ts";
import { answerJson, type Call, type Handled } from "./http/handler.ts";
import type { OpenApi } from "./openapi/openApiDocument.ts";

export function getOpenApi(build: () => OpenApi): (call: Call) => Handled {
  let document: OpenApi | undefined;
  return ({ request }) => {
    document ??= build();
    const servers = [{ url: new URL("/api", request.url).href }];
    return Promise.resolve(answerJson(200, { ...document, servers }));
  };
}

export function describeGetOpenApi(): Description {
  return {
    summary: "This document",
    description: "Describes the service as it is configured. `HEAD` works too.",
    answers: {
      200: {
        description: "OpenAPI 3.1.",
        schema: answers().OpenApiDocument,
      },
    },
    problems: [],
  };
}
