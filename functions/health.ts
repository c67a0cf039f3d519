// health: whether the service can work now. Tells nothing but that; the reason goes to the log.
import { err } from "../shared/result.ts";
import type { Service } from "../shared/service.ts";
import { answerJson, type Call, type Handled } from "./handler.ts";

export function health(service: Service): (call: Call) => Handled {
  return async ({ log, signal }) =>
    (await service.isHealthy(log, signal))
      ? answerJson(200, { status: "ok" })
      : err({ reason: "unhealthy", retryAfterSeconds: 10 });
}
