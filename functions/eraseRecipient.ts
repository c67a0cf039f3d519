// eraseRecipient: a back end has everything forgotten that stands for a user.
import { EraseRequest } from "../shared/domain/notification.ts";
import type { Service } from "../shared/service.ts";
import { readJson, SMALL_BODY_BYTES } from "./http/body.ts";
import type { Description } from "./http/description.ts";
import { parseBody } from "./http/parseBody.ts";
import { answerNothing, type Call, type Handled } from "./http/handler.ts";

export function eraseRecipient(service: Service): (call: Call) => Handled {
  return async ({ request, log, signal }) => {
    const body = await readJson(request, SMALL_BODY_BYTES, signal);
    if (!body.ok) return body;
    const parsed = parseBody(EraseRequest, body.value.value);
    if (!parsed.ok) return parsed;
    await service.eraseRecipients(parsed.value.to, { log, signal });
    return answerNothing(202);
  };
}

export function describeEraseRecipient(): Description {
  return {
    summary: "Forget a user",
    description:
      "Erases what stands for these users when it is called: notifications, installations, and what is still to be " +
      "pushed to them. What is made later stays. Calling it again does no harm.",
    body: { schema: EraseRequest, examples: { oneUser: { to: "alice" } } },
    answers: { 202: { description: "It will be done, whatever fails meanwhile." } },
    problems: ["store_unavailable", "keys_unavailable"],
  };
}
