// listNotifications: a device catches up on what it was not woken for. No payloads.
import * as z from "zod";
import { ListQuery, type UserId } from "../shared/domain/notification.ts";
import { err } from "../shared/base/result.ts";
import type { Service } from "../shared/service.ts";
import { answers } from "./http/answers.ts";
import type { Description } from "./http/description.ts";
import { answerJson, type Call, type Handled } from "./http/handler.ts";

export function listNotifications(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, log, signal }, userId) => {
    const query = ListQuery.safeParse(Object.fromEntries(new URL(request.url).searchParams));
    if (!query.success) return err({ reason: "query_invalid" });
    const listed = await service.list(query.data, userId, { log, signal });
    // Dates become ISO 8601 in UTC with milliseconds.
    return listed.ok ? answerJson(200, listed.value) : listed;
  };
}

export function describeListNotifications(): Description {
  return {
    summary: "List what a user has",
    description:
      "For catching up after pushes that were missed: newest first, without payloads. A page may hold fewer than " +
      "`limit`, or nothing: there is more while there is a `cursor`.",
    parameters: {
      unread: {
        in: "query",
        description: "Whether to leave out what was read.",
        schema: z.boolean().default(false),
      },
      limit: {
        in: "query",
        description: "How many at most, in decimal digits alone.",
        schema: z.int().min(1).max(100).default(20),
      },
      cursor: {
        in: "query",
        description:
          "As the page before gave it. It serves the same user and the same `unread`, and never expires; what is made " +
          "or deleted meanwhile shifts no page.",
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
    problems: ["cursor_invalid", "store_unavailable", "keys_unavailable"],
  };
}
