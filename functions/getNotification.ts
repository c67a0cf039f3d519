// getNotification: a device fetches what it was told the ID of.
import { NotificationId } from "../shared/id.ts";
import type { UserId } from "../shared/notification.ts";
import { err } from "../shared/result.ts";
import type { Service } from "../shared/service.ts";
import { answerJsonText, type Call, type Handled } from "./handler.ts";

export function getNotification(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, log, signal }, userId) => {
    const id = NotificationId.safeParse(request.params["id"]);
    // What cannot be an ID is as unknown as one that nobody has (P2).
    if (!id.success) return err({ reason: "notification_unknown" });
    const found = await service.get(id.data, userId, log, signal);
    if (!found.ok) return found;
    const { payload, createdAt, expiresAt, read } = found.value;
    const rest = JSON.stringify({
      createdAt: createdAt.toISOString(),
      expiresAt: expiresAt.toISOString(),
      read,
    });
    // The payload's own text, not what a parser and a writer would make of it: numbers stay as they were given.
    return answerJsonText(200, `{"id":"${id.data}","payload":${payload.reveal()},${rest.slice(1)}`);
  };
}
