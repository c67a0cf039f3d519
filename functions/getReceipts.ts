// getReceipts: a sender asks what became of a notification. User ids are in the body, because request logs hold URLs.
import { ReceiptsRequest } from "../shared/domain/notification.ts";
import type { Service } from "../shared/service.ts";
import { type Answers, answers } from "./http/answers.ts";
import { readInput } from "./http/body.ts";
import type { Description } from "./http/description.ts";
import { answerJson, type Call, type Handled } from "./http/handler.ts";

export function getReceipts(service: Service): (call: Call) => Handled {
  return async (call) => {
    const input = await readInput(call, ReceiptsRequest);
    if (!input.ok) return input;
    const { id, to } = input.value;
    const { context } = call;
    const receipts = await service.getReceipts(id, to, context.signal);
    context.log.info("receipts_given", { recipients: receipts.length });
    return answerJson(200, {
      id,
      receipts: receipts.map(({ fetchedAt, readAt, ...receipt }) => ({
        ...receipt,
        ...(fetchedAt === undefined ? {} : { fetchedAt: fetchedAt.toISOString() }),
        ...(readAt === undefined ? {} : { readAt: readAt.toISOString() }),
      })),
    } satisfies Answers["ReceiptsResponse"]);
  };
}

export function describeGetReceipts(): Description {
  const id = "0N9DZXE61WXQHCZ2TVW7RBD5NK1FH8A4";
  return {
    summary: "What became of a notification",
    description:
      "For each user whether the notification was pushed, fetched and read. User ids are in the body, because request " +
      "logs hold URLs.",
    body: { schema: ReceiptsRequest, examples: { twoUsers: { id, to: ["alice", "bob"] } } },
    answers: {
      200: {
        description: "One receipt for each user, also for one who is repeated.",
        schema: answers().ReceiptsResponse,
        example: {
          id,
          receipts: [
            { to: "alice", push: "accepted", fetchedAt: "2026-11-25T08:30:05.000Z" },
            { to: "bob", push: "noDevices" },
          ],
        },
      },
    },
    problems: ["store_unavailable", "keys_unavailable"],
  };
}
