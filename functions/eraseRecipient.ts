// eraseRecipient: a back end has everything erased that the service holds about users.
import { EraseRequest } from "../shared/domain/notification.ts";
import type { Service } from "../shared/service.ts";
import { readInput } from "./http/body.ts";
import type { Description } from "./http/description.ts";
import { answerNothing, type Call, type Handled } from "./http/handler.ts";

export function eraseRecipient(service: Service): (call: Call) => Handled {
  return async (call) => {
    const input = await readInput(call, EraseRequest);
    if (!input.ok) return input;
    await service.eraseRecipients(input.value.to, call.context);
    return answerNothing(202);
  };
}

export function describeEraseRecipient(): Description {
  return {
    summary: "Erase users",
    description:
      "Erases what the service holds about these users at the time of the call: notifications, installations and " +
      "pending pushes. What comes later stays. The call can be repeated.",
    body: { schema: EraseRequest, examples: { oneUser: { to: ["alice"] } } },
    answers: { 202: { description: "Accepted. It will be done within minutes, also after failures." } },
    problems: ["store_unavailable", "keys_unavailable"],
  };
}
