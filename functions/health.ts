// health: whether the service can work now. The answer says only that; the log has the reason.
import { err } from "../shared/base/result.ts";
import type { Service } from "../shared/service.ts";
import { type Answers, answers } from "./http/answers.ts";
import type { Description } from "./http/description.ts";
import { answerJson, type Call, type Handled } from "./http/handler.ts";

export function health(service: Service): (call: Call) => Handled {
  return async ({ context }) =>
    (await service.isHealthy(context))
      ? answerJson(200, { status: "ok" } satisfies Answers["Health"])
      : err({ reason: "unhealthy", retryAfterSeconds: 10 });
}

export function describeHealth(): Description {
  return {
    summary: "Whether the service can work now",
    description:
      "Whether the store and the keys can be reached. They are checked at most every ten seconds. `HEAD` works too.",
    answers: {
      200: { description: "It can work.", schema: answers().Health, example: { status: "ok" } },
    },
    problems: ["unhealthy"],
  };
}
