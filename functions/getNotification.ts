// getNotification: a device fetches what it was told the ID of.
import { NotificationId } from "../shared/domain/id.ts";
import type { UserId } from "../shared/domain/notification.ts";
import { err } from "../shared/base/result.ts";
import type { Service } from "../shared/service.ts";
import { type Answers, answers } from "./http/answers.ts";
import type { Description } from "./http/description.ts";
import { answerJsonText, type Call, type Handled } from "./http/handler.ts";

export function getNotification(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, log, signal }, userId) => {
    const id = NotificationId.safeParse(request.params["id"]);
    // What cannot be an ID is as unknown as one that nobody has (P2).
    if (!id.success) return err({ reason: "notification_unknown" });
    const found = await service.get(id.data, userId, { log, signal });
    if (!found.ok) return found;
    const { payload, createdAt, expiresAt, read } = found.value;
    const rest = JSON.stringify({
      createdAt: createdAt.toISOString(),
      expiresAt: expiresAt.toISOString(),
      read,
    } satisfies Omit<Answers["Notification"], "id" | "payload">);
    // The payload's own text, not what a parser and a writer would make of it: numbers stay as they were given.
    return answerJsonText(200, `{"id":"${id.data}","payload":${payload.reveal()},${rest.slice(1)}`);
  };
}

export function describeGetNotification(): Description {
  return {
    summary: "Fetch a notification",
    description:
      "A device fetches the payload whose ID it was told. The first fetch is recorded. " +
      "An ID that is unknown, expired or somebody else's gives the same answer.",
    parameters: {
      id: { in: "path", description: "As the push brought it.", schema: NotificationId },
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
