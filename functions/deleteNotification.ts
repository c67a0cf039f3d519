// deleteNotification: a device deletes one of its user's notifications. The payload is erased at once.
import * as z from "zod";
import { NotificationId } from "../shared/domain/id.ts";
import type { UserId } from "../shared/domain/notification.ts";
import type { Service } from "../shared/service.ts";
import type { Description } from "./http/description.ts";
import { answerNothing, type Call, type Handled } from "./http/handler.ts";

export function deleteNotification(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, context }, userId) => {
    const id = NotificationId.safeParse(request.params["id"]);
    // A text that cannot be an ID names nothing, and deleting nothing succeeds.
    if (id.success) await service.delete(id.data, userId, context);
    return answerNothing();
  };
}

export function describeDeleteNotification(): Description {
  return {
    summary: "Delete a notification",
    description:
      "Erases the payload at once. Deleting a notification that does not exist succeeds too. A body is ignored.",
    parameters: { id: { in: "path", description: "As the push carried it.", schema: z.string() } },
    answers: { 204: { description: "It is deleted." } },
    problems: ["store_unavailable", "keys_unavailable"],
  };
}
