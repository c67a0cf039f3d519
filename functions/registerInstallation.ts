// registerInstallation: a device registers the push channel at which its user can be reached.
import type { Limits } from "../shared/config/config.ts";
import { InstallationId, InstallationRequest, type Platform } from "../shared/domain/installation.ts";
import type { UserId } from "../shared/domain/notification.ts";
import { err } from "../shared/base/result.ts";
import type { Service } from "../shared/service.ts";
import { type Answers, answers } from "./http/answers.ts";
import { readInput } from "./http/body.ts";
import type { Description } from "./http/description.ts";
import { answerJson, type Call, type Handled } from "./http/handler.ts";

/** @param platforms The platforms that a device can be registered for now. */
export function registerInstallation(
  service: Service,
  platforms: () => readonly Platform[],
): (call: Call, userId: UserId) => Handled {
  return async (call, userId) => {
    const installationId = InstallationId.safeParse(call.request.params["installationId"]);
    if (!installationId.success) return err({ reason: "installation_id_invalid" });
    const input = await readInput(call, InstallationRequest, {
      platform: `must be one of ${platforms().join(", ")}`,
    });
    if (!input.ok) return input;
    const registered = await service.register(userId, installationId.data, input.value, call.context);
    if (!registered.ok) return registered;
    const { expiresAt, isNew, isPending } = registered.value;
    const finished = isNew ? 201 : 200;
    return answerJson(isPending ? 202 : finished, {
      installationId: installationId.data,
      expiresAt: expiresAt.toISOString(),
    } satisfies Answers["Installation"]);
  };
}

/** A body for each kind of device. */
const EXAMPLES = {
  apple: {
    platform: "apns",
    pushChannel: "00fcc13cb686823faa5f0ad8c4d1bd3a4be8fb0e8d9d1d3d3bd1a37bfe5d3dcf",
  },
  android: { platform: "fcmv1", pushChannel: "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1" },
  windows: {
    platform: "wns",
    pushChannel: "https://db5p.notify.windows.com/?token=AwYAAAD8sfbDrL9h7mN",
  },
  browser: {
    platform: "browser",
    pushChannel: {
      endpoint: "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
      p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
      auth: "BTBZMqHH6r4Tts7J_aSIgg",
    },
    vapidPublicKey: "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs",
  },
};

export function describeRegisterInstallation(
  { maxInstallations, installationTtlDays }: Limits,
  platforms: readonly Platform[],
): Description {
  const example = { installationId: "phone-1", expiresAt: "2027-02-23T08:30:00.000Z" };
  return {
    summary: "Register a device, or renew its registration",
    description:
      "A device registers the push channel at which its user can be reached. A push channel belongs to one user and one " +
      `installation: the last one that registers it. Platforms served here: ${platforms.join(", ")}. Here a user has ` +
      `at most ${maxInstallations} installations, and an installation expires unless it is renewed within ` +
      `${installationTtlDays} days.`,
    parameters: {
      installationId: {
        in: "path",
        description: "The device chooses it once and keeps it.",
        schema: InstallationId,
        example: "phone-1",
      },
    },
    body: {
      schema: InstallationRequest,
      examples: EXAMPLES,
    },
    answers: {
      200: { description: "Renewed.", schema: answers().Installation, example },
      201: { description: "New.", schema: answers().Installation, example },
      202: {
        description: "Stored, new or renewed. The push service cannot be reached now and is informed later.",
        schema: answers().Installation,
        example,
      },
    },
    problems: [
      "installation_id_invalid",
      "platform_not_served",
      "push_channel_refused",
      "hub_unavailable",
      "installations_exhausted",
      "store_unavailable",
      "keys_unavailable",
    ],
  };
}
