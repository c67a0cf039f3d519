// registerInstallation: a device says where its user's pushes may go.
import { InstallationId, InstallationRequest, type UserId } from "../shared/notification.ts";
import { err } from "../shared/result.ts";
import type { Service } from "../shared/service.ts";
import { readJson, SMALL_BODY_BYTES } from "./body.ts";
import { parseBody } from "./fault.ts";
import { answerJson, type Call, type Handled } from "./handler.ts";

export function registerInstallation(service: Service): (call: Call, userId: UserId) => Handled {
  return async ({ request, log, signal }, userId) => {
    const installationId = InstallationId.safeParse(request.params["installationId"]);
    if (!installationId.success) return err({ reason: "installation_id_invalid" });
    const body = await readJson(request, SMALL_BODY_BYTES, signal);
    if (!body.ok) return body;
    const parsed = parseBody(InstallationRequest, body.value.value);
    if (!parsed.ok) return parsed;
    const registered = await service.register(userId, installationId.data, parsed.value, log, signal);
    if (!registered.ok) return registered;
    const { expiresAt, isNew, isPending } = registered.value;
    const settled = isNew ? 201 : 200;
    return answerJson(isPending ? 202 : settled, {
      installationId: installationId.data,
      expiresAt: expiresAt.toISOString(),
    });
  };
}
