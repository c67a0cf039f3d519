// A simulated browser: its app subscribes at the local push service under the service's VAPID key and gets encrypted
// pushes, which the push service carries without being able to read them.
import type { ReceivedPush, SimulatedDevice } from "./devices.ts";
import { createPushQueue } from "./pushQueue.ts";
import type { WebPushService } from "./webPushService.ts";

/** @param owner Their user id. */
export function createBrowser(service: WebPushService, owner: string): SimulatedDevice {
  const pushChannel = service.subscribe(service.vapidPublicKey);
  const carried: string[] = [];
  const { next, close } = createPushQueue<ReceivedPush>((add) =>
    service.onPush(({ endpoint, headers, body, text }) => {
      if (endpoint !== pushChannel.endpoint) return;
      // The ciphertext is what travelled; the text is what it decrypts to.
      carried.push(endpoint, JSON.stringify(headers), body.toString("latin1"), text);
      add({ id: readId(text), body: text, headers: toShownHeaders(headers) });
    }),
  );
  return {
    name: `${owner}'s browser`,
    installationId: `${owner}s-browser`,
    registration: { platform: "browser", pushChannel },
    next,
    carried: () => carried,
    close,
  };
}

/** As a service worker reads it; empty in a push without one. */
function readId(text: string): string {
  const { secureId } = JSON.parse(text) as { readonly secureId?: unknown };
  return typeof secureId === "string" ? secureId : "";
}

/** The fields of RFC 8030 and RFC 8188, by their usual names. */
function toShownHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const names = ["TTL", "Urgency", "Content-Encoding"];
  return Object.fromEntries(names.map((name) => [name, headers[name.toLowerCase()] ?? ""]));
}
