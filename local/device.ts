// A simulated device that the hub pushes to. It receives the push messages of its push channel and reads the
// notification's ID from each, as an app on its platform does.
import type { Delivery, HubEmulator } from "../packages/notification-hubs-emulator/emulator.ts";
import type { HubPlatform } from "../packages/notification-hubs-emulator/platforms.ts";

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
  /**
   * The next push: one that has arrived already, or one that is still to come. Returns each push once, in order.
   * Rejects when a push holds no ID, when the signal aborts and when the device is closed.
   */
  readonly next: (signal?: AbortSignal) => Promise<DevicePush>;
  /** All pushes since the device was created, including those that `next` has not returned. */
  readonly received: readonly Delivery[];
  readonly close: () => void;
}

export function createDevice({ hub, platform, pushChannel }: DeviceOptions): Device {
  const received: Delivery[] = [];
  const closed = new AbortController();
  let arrived = Promise.withResolvers<void>();
  let taken = 0;

  const stop = hub.onDelivery((delivery) => {
    if (delivery.platform !== platform || delivery.pushChannel !== pushChannel) return;
    received.push(delivery);
    arrived.resolve();
    arrived = Promise.withResolvers();
  });

  return {
    next: async (signal) => {
      const end = signal === undefined ? closed.signal : AbortSignal.any([signal, closed.signal]);
      for (;;) {
        end.throwIfAborted();
        const delivery = received[taken];
        if (delivery !== undefined) {
          taken++;
          return { id: readId(delivery), delivery };
        }
        await untilAborted(arrived.promise, end);
      }
    },
    received,
    close: () => {
      stop();
      closed.abort(new Error("the device is closed"));
    },
  };
}

/** Resolves with the promise; rejects when the signal aborts first. */
export async function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Where each platform's app finds the ID (README: "What the device gets"). */
function readId({ platform, body }: Delivery): string {
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
