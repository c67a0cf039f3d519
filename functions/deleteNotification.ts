// deleteNotification: a device deletes one of its user's, whose payload is erased at once.
import * as z from "zod";
import { NotificationId } from "../shared/domain/id.ts";
import type { UserId } from "../shared/domain/notification.ts";
import type { Service } from "../shared/service.ts";
import type { Description } from "./http/description.ts";
import { answerNothing, type Call, type Handled } from "./http/handler.ts";

export function deleteNotification(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, log, signal }, userId) => {
    const id = NotificationId.safeParse(request.params["id"]);
    // What cannot be an ID is as gone as one that nobody has.
    if (id.success) await service.delete(id.data, userId, { log, signal });
    return answerNothing();
  };
}

export function describeDeleteNotification(): Description {
  return {
    summary: "Delete a notification",
    description: "Erases the payload at once. Deleting what is not there succeeds too. A body is ignored.",
    parameters: { id: { in: "path", description: "As the push brought it.", schema: z.string() } },
    answers: { 204: { description: "It is gone." } },
    problems: ["store_unavailable", "keys_unavailable"],
  };
}
