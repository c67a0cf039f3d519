// listNotifications: a device catches up on notifications whose pushes it missed. A list has no payloads.
import * as z from "zod";
import { ListQuery, type UserId } from "../shared/domain/notification.ts";
import { err } from "../shared/base/result.ts";
import type { Service } from "../shared/service.ts";
import { type Answers, answers } from "./http/answers.ts";
import type { Description } from "./http/description.ts";
import { parseInput } from "./http/parseInput.ts";
import { answerJson, type Call, type Handled } from "./http/handler.ts";

export function listNotifications(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, context }, userId) => {
    const { pathname, searchParams } = new URL(request.url);
    // With a slash at the end it is getNotification with an empty ID. The Functions host brings it here.
    if (pathname.endsWith("/")) return err({ reason: "notification_unknown" });
    const query = parseInput("query_invalid", ListQuery, Object.fromEntries(searchParams));
    if (!query.ok) return query;
    const listed = await service.list(query.value, userId, context);
    if (!listed.ok) return listed;
    return answerJson(200, {
      ...listed.value,
      notifications: listed.value.notifications.map(({ createdAt, expiresAt, fetchedAt, ...summary }) => ({
        ...summary,
        createdAt: createdAt.toISOString(),
        expiresAt: expiresAt.toISOString(),
        ...(fetchedAt === undefined ? {} : { fetchedAt: fetchedAt.toISOString() }),
      })),
    } satisfies Answers["NotificationList"]);
  };
}

export function describeListNotifications(): Description {
  return {
    summary: "List a user's notifications",
    description:
      "For catching up after missed pushes: newest first, without payloads. A page may have fewer notifications than " +
      "`limit`, or none; there is more while there is a `cursor`.",
    parameters: {
      unread: {
        in: "query",
        description: "Whether to leave out notifications that were read. Default: `false`.",
        schema: z.boolean(),
      },
      limit: {
        in: "query",
        description: "The most notifications of a page, in decimal digits alone. Default: 20.",
        schema: z.int().min(1).max(100),
      },
      cursor: {
        in: "query",
        description:
          "From the previous page, for the same user and the same `unread`. It never expires, and notifications that " +
          "come or go in the meantime shift no page.",
        schema: z.string(),
      },
    },
    answers: {
      200: {
        description: "A page.",
        schema: answers().NotificationList,
        example: {
          notifications: [
            {
              id: "0N9DZXE61WXQHCZ2TVW7RBD5NK1FH8A4",
              createdAt: "2026-11-25T08:30:00.000Z",
              expiresAt: "2026-12-02T08:30:00.000Z",
              read: false,
              fetchedAt: "2026-11-25T08:30:05.000Z",
            },
          ],
        },
      },
    },
    problems: ["cursor_invalid", "notification_unknown", "store_unavailable", "keys_unavailable"],
  };
}
