// getPushConfig: what a browser needs to subscribe (`pushManager.subscribe`).
import { type Answers, answers } from "./http/answers.ts";
import type { Description } from "./http/description.ts";
import { answerJson, type Call, type Handled } from "./http/handler.ts";

export interface PushConfig {
  /** The application server key: a point on P-256, base64url (RFC 8292 §3.2). Absent where Web Push is not served. */
  readonly vapidPublicKey?: string;
}

export function getPushConfig(config: PushConfig): (call: Call) => Handled {
  return () => Promise.resolve(answerJson(200, config satisfies Answers["PushConfig"]));
}

export function describeGetPushConfig(): Description {
  return {
    summary: "What a browser needs to subscribe",
    description: "For `pushManager.subscribe`. `HEAD` works too.",
    answers: {
      200: {
        description: "Without `vapidPublicKey` where Web Push is not served.",
        schema: answers().PushConfig,
        example: {
          vapidPublicKey:
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        },
      },
    },
    problems: [],
  };
}
