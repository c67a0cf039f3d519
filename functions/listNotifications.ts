// listNotifications: a device catches up on what it was not woken for. No payloads.
import { ListQuery, type UserId } from "../shared/notification.ts";
import { err } from "../shared/result.ts";
import type { Service } from "../shared/service.ts";
import { answerJson, type Call, type Handled } from "./handler.ts";

export function listNotifications(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, log, signal }, userId) => {
    const query = ListQuery.safeParse(Object.fromEntries(new URL(request.url).searchParams));
    if (!query.success) return err({ reason: "query_invalid" });
    const listed = await service.list(query.data, userId, log, signal);
    // Dates become ISO 8601 in UTC with milliseconds.
    return listed.ok ? answerJson(200, listed.value) : listed;
  };
}
