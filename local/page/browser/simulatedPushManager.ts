// Replaces the browser's push manager. It subscribes at the local push service, because a browser subscribes only at its
// maker's push service on the Internet.
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
