// A simulated device that the hub pushes to. It receives the push messages of its push channel and reads the
// notification's ID from each, as an app on its platform does.
import type { Delivery, HubEmulator } from "../packages/notification-hubs-emulator/emulator.ts";
import type { HubPlatform } from "../packages/notification-hubs-emulator/platforms.ts";
import { createPushQueue } from "./pushQueue.ts";

export interface DeviceOptions {
  readonly hub: HubEmulator;
  /** As installations name it. */
  readonly platform: HubPlatform;
  /** The token, the channel URI or a browser's endpoint. */
  readonly pushChannel: string;
}

interface DevicePush {
  /** The notification's. */
  readonly id: string;
  readonly delivery: Delivery;
}

export interface Device {
  /** The next push, as PushQueue.next returns it. Also rejects if a push holds no ID. */
  readonly next: (signal?: AbortSignal) => Promise<DevicePush>;
  readonly close: () => void;
}

export function createDevice({ hub, platform, pushChannel }: DeviceOptions): Device {
  const queue = createPushQueue<Delivery>((add) =>
    hub.onDelivery((delivery) => {
      if (delivery.platform === platform && delivery.pushChannel === pushChannel) add(delivery);
    }),
  );
  return {
    next: async (signal) => {
      const delivery = await queue.next(signal);
      return { id: readId(delivery), delivery };
    },
    close: queue.close,
  };
}

/** Where each platform's app finds the ID (README: "The API"). */
export function readId({ platform, body }: Delivery): string {
  // The content is the ID and nothing else.
  if (platform === "wns" || platform === "mpns") return body;
  const json: unknown = JSON.parse(body);
  const id = read(readHolder(platform, json), "secureId");
  if (typeof id !== "string") throw new Error(`a push for ${platform} without secureId`);
  return id;
}

function readHolder(platform: HubPlatform, json: unknown): unknown {
  switch (platform) {
    case "fcmv1":
      return read(read(json, "message"), "data");
    case "gcm":
    case "adm":
    case "xiaomi":
      return read(json, "data");
    default:
      return json;
  }
}

function read(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
}
