// markRead: a device says that its user has read a notification. A body has no meaning and is not read: Node discards a
// body that nobody began to read. A body that is read in part would block the host's connection for later requests.
import { NotificationId } from "../shared/domain/id.ts";
import type { UserId } from "../shared/domain/notification.ts";
import { err } from "../shared/base/result.ts";
import type { Service } from "../shared/service.ts";
import type { Description } from "./http/description.ts";
import { answerNothing, type Call, type Handled } from "./http/handler.ts";

export function markRead(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, context }, userId) => {
    const id = NotificationId.safeParse(request.params["id"]);
    if (!id.success) return err({ reason: "notification_unknown" });
    const marked = await service.markRead(id.data, userId, context);
    return marked.ok ? answerNothing() : marked;
  };
}

export function describeMarkRead(): Description {
  return {
    summary: "Mark a notification read",
    description:
      "A device says that its user has read it. Repeating the call changes nothing. A body is ignored.",
    parameters: { id: { in: "path", description: "As the push carried it.", schema: NotificationId } },
    answers: { 204: { description: "It is read." } },
    problems: ["notification_unknown", "store_unavailable", "keys_unavailable"],
  };
}
