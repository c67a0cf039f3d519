// getOpenApi: the API's document, made at the first call and kept: a cold start does not pay for it.
import { answers } from "./http/answers.ts";
import type { Description } from "./http/description.ts";
import { answerJsonText, type Call, type Handled } from "./http/handler.ts";

export function getOpenApi(build: () => object): (call: Call) => Handled {
  let text: string | undefined;
  return async () => {
    text ??= JSON.stringify(build());
    return answerJsonText(200, text);
  };
}

export function describeGetOpenApi(): Description {
  return {
    summary: "This document",
    description: "Describes the service as it is configured.",
    answers: {
      200: {
        description: "OpenAPI 3.1.",
        schema: answers().Document,
      },
    },
    problems: [],
  };
}
