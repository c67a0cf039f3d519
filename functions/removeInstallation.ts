// removeInstallation: a device signs off; removing what is not there is no failure.
import { InstallationId, type UserId } from "../shared/notification.ts";
import { err } from "../shared/result.ts";
import type { Service } from "../shared/service.ts";
import { answerNothing, type Call, type Handled } from "./handler.ts";

export function removeInstallation(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, log, signal }, userId) => {
    const installationId = InstallationId.safeParse(request.params["installationId"]);
    if (!installationId.success) return err({ reason: "installation_id_invalid" });
    await service.remove(userId, installationId.data, log, signal);
    return answerNothing();
  };
}
