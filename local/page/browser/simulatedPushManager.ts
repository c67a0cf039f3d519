// Stands for the browser's push manager: its subscriptions are made at the local push service, for a browser's own push
// service is on the Internet and does not know the local one.
import type { PushManagerLike, SubscriptionLike } from "../../../clients/web/page/page.ts";
import { post } from "./server.ts";

export function createSimulatedPushManager(deviceId: string): PushManagerLike {
  let current: SubscriptionLike | null = null;
  return {
    getSubscription: () => Promise.resolve(current),
    subscribe: async ({ applicationServerKey }) => {
      const device = await post("/devices", { deviceId, vapidPublicKey: applicationServerKey });
      if (device.platform !== "browser") throw new Error("the server made no subscription");
      const { endpoint, p256dh, auth } = device.pushChannel;
      const subscription: SubscriptionLike = {
        options: { applicationServerKey: toBytes(applicationServerKey) },
        toJSON: () => ({ endpoint, expirationTime: null, keys: { p256dh, auth } }),
        unsubscribe: () => {
          current = null;
          return Promise.resolve(true);
        },
      };
      current = subscription;
      return subscription;
    },
  };
}

function toBytes(base64Url: string): ArrayBuffer {
  const text = atob(base64Url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (byte) => byte.charCodeAt(0)).buffer;
}
