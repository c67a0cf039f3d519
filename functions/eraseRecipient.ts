// eraseRecipient: a back end has everything forgotten that stands for a user.
import { EraseRequest } from "../shared/notification.ts";
import type { Service } from "../shared/service.ts";
import { readJson, SMALL_BODY_BYTES } from "./body.ts";
import { parseBody } from "./fault.ts";
import { answerNothing, type Call, type Handled } from "./handler.ts";

export function eraseRecipient(service: Service): (call: Call) => Handled {
  return async ({ request, log, signal }) => {
    const body = await readJson(request, SMALL_BODY_BYTES, signal);
    if (!body.ok) return body;
    const parsed = parseBody(EraseRequest, body.value.value);
    if (!parsed.ok) return parsed;
    await service.eraseRecipients(parsed.value.to, log, signal);
    return answerNothing(202);
  };
}
