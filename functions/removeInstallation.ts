// removeInstallation: a device signs off. Removing an installation that does not exist succeeds.
import { InstallationId } from "../shared/domain/installation.ts";
import type { UserId } from "../shared/domain/notification.ts";
import { err } from "../shared/base/result.ts";
import type { Service } from "../shared/service.ts";
import type { Description } from "./http/description.ts";
import { answerNothing, type Call, type Handled } from "./http/handler.ts";

export function removeInstallation(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, context }, userId) => {
    const installationId = InstallationId.safeParse(request.params["installationId"]);
    if (!installationId.success) return err({ reason: "installation_id_invalid" });
    await service.remove(userId, installationId.data, context);
    return answerNothing();
  };
}

export function describeRemoveInstallation(): Description {
  return {
    summary: "Remove a device",
    description: "A device signs off. Removing an installation that does not exist succeeds too.",
    parameters: {
      installationId: {
        in: "path",
        description: "As it was registered.",
        schema: InstallationId,
        example: "phone-1",
      },
    },
    answers: {
      204: {
        description: "It is removed here. The push service is informed later if it cannot be reached now.",
      },
    },
    problems: ["installation_id_invalid", "store_unavailable", "keys_unavailable"],
  };
}
