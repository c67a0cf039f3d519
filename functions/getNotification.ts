// getNotification: a device fetches the payload of the notification whose ID it got.
import { NotificationId } from "../shared/domain/id.ts";
import type { UserId } from "../shared/domain/notification.ts";
import { err } from "../shared/base/result.ts";
import type { Service } from "../shared/service.ts";
import { type Answers, answers } from "./http/answers.ts";
import type { Description } from "./http/description.ts";
import { answerJsonText, type Call, type Handled } from "./http/handler.ts";

export function getNotification(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, context }, userId) => {
    const id = NotificationId.safeParse(request.params["id"]);
    // A text that cannot be an ID gets the same answer as an unknown ID (P2).
    if (!id.success) return err({ reason: "notification_unknown" });
    const found = await service.get(id.data, userId, context);
    if (!found.ok) return found;
    const { payload, createdAt, expiresAt, read } = found.value;
    const rest = JSON.stringify({
      createdAt: createdAt.toISOString(),
      expiresAt: expiresAt.toISOString(),
      read,
    } satisfies Omit<Answers["Notification"], "id" | "payload">);
    // The payload is inserted as its own text. Parsing and writing it again would change numbers.
    return answerJsonText(200, `{"id":"${id.data}","payload":${payload.reveal()},${rest.slice(1)}`);
  };
}

export function describeGetNotification(): Description {
  return {
    summary: "Fetch a notification",
    description:
      "A device fetches the payload of an ID that it got. The first fetch is recorded. " +
      "An ID that is unknown, expired, deleted or somebody else's gets the same answer.",
    parameters: {
      id: { in: "path", description: "As the push carried it.", schema: NotificationId },
    },
    answers: {
      200: {
        description: "The notification.",
        schema: answers().Notification,
        example: {
          id: "0N9DZXE61WXQHCZ2TVW7RBD5NK1FH8A4",
          payload: { balance: 12.5 },
          createdAt: "2026-11-25T08:30:00.000Z",
          expiresAt: "2026-12-02T08:30:00.000Z",
          read: false,
        },
      },
    },
    problems: ["notification_unknown", "store_unavailable", "keys_unavailable"],
  };
}
