// getReceipts: a sender asks what became of a notification. User ids stay out of URLs, and so out of request logs.
import { ReceiptsRequest } from "../shared/notification.ts";
import type { Service } from "../shared/service.ts";
import { readJson, SMALL_BODY_BYTES } from "./body.ts";
import { parseBody } from "./fault.ts";
import { answerJson, type Call, type Handled } from "./handler.ts";

export function getReceipts(service: Service): (call: Call) => Handled {
  return async ({ request, log, signal }) => {
    const body = await readJson(request, SMALL_BODY_BYTES, signal);
    if (!body.ok) return body;
    const parsed = parseBody(ReceiptsRequest, body.value.value);
    if (!parsed.ok) return parsed;
    const { id, to } = parsed.value;
    const receipts = await service.getReceipts(id, to, signal);
    log.info("receipts_given", { recipients: receipts.length });
    return answerJson(200, {
      id,
      receipts: receipts.map(({ fetchedAt, readAt, ...receipt }) => ({
        ...receipt,
        ...(fetchedAt === undefined ? {} : { fetchedAt: fetchedAt.toISOString() }),
        ...(readAt === undefined ? {} : { readAt: readAt.toISOString() }),
      })),
    });
  };
}
