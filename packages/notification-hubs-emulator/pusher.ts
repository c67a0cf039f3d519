// Makes the pushes of a send: keeps those that a push service would have taken, and marks the installations whose channel
// is gone. No I/O.
import { type HubChannel, toChannel } from "./installation.ts";
import type { InstallationStore } from "./installationStore.ts";
import type { HubPlatform } from "./platforms.ts";
import {
  type Attempt,
  attemptPushes,
  type PushContent,
  type PushOutcomeName,
  toPushChannel,
} from "./pushService.ts";
import type { Send } from "./sendRequest.ts";

/** What would have been pushed: one push that its push service would have taken. */
export interface Delivery extends PushContent, PushIds {
  readonly platform: HubPlatform;
  /** The handle; a browser's endpoint. */
  readonly pushChannel: string;
  /** A browser's keys. */
  readonly browserKeys?: { readonly p256dh: string; readonly auth: string };
  /** Not known for a direct send. */
  readonly installationId?: string;
  /** As UTF-8; the bytes themselves are in the request. */
  readonly body: string;
}

interface PushIds {
  /** Of the request that sent it. */
  readonly trackingId: string;
  /** The hub's message ID. */
  readonly notificationId: string;
}

export interface Pusher {
  readonly deliveries: readonly Delivery[];
  readonly push: (send: Send, ids: PushIds, maxDevices?: number) => readonly Attempt[];
  readonly onDelivery: (listener: (delivery: Delivery) => void) => () => void;
  readonly setOutcome: (pushChannel: string, outcome: PushOutcomeName) => void;
  /** Forgets deliveries and outcomes, but no listener. */
  readonly clear: () => void;
}

export function createPusher(installations: InstallationStore): Pusher {
  const deliveries: Delivery[] = [];
  const outcomes = new Map<string, PushOutcomeName>();
  const listeners = new Set<(delivery: Delivery) => void>();

  function settle({ platform, channel, installationId, outcome, content }: Attempt, ids: PushIds): void {
    if (outcome === "Success" && content !== undefined) {
      const known = installationId === undefined ? {} : { installationId };
      const delivery = { ...ids, platform, ...toAddress(channel), ...known, ...content };
      deliveries.push(delivery);
      for (const listener of listeners) listener(delivery);
    }
    if (installationId === undefined || (outcome !== "BadChannel" && outcome !== "ExpiredChannel")) return;
    const stored = installations.get(installationId);
    if (stored !== undefined && toPushChannel(toChannel(stored)) === toPushChannel(channel))
      installations.put(stored, true);
  }

  return {
    deliveries,
    push: (send, ids, maxDevices) => {
      const attempts = attemptPushes(send, {
        installations: installations.listVisible(),
        outcomeOf: (pushChannel) => outcomes.get(pushChannel) ?? "Success",
        ...(maxDevices === undefined ? {} : { maxDevices }),
      });
      for (const attempt of attempts) settle(attempt, ids);
      return attempts;
    },
    onDelivery: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    setOutcome: (pushChannel, outcome) => {
      outcomes.set(pushChannel, outcome);
    },
    clear: () => {
      deliveries.length = 0;
      outcomes.clear();
    },
  };
}

function toAddress(channel: HubChannel): Pick<Delivery, "pushChannel" | "browserKeys"> {
  if (typeof channel === "string") return { pushChannel: channel };
  const { endpoint, p256dh, auth } = channel;
  return { pushChannel: endpoint, browserKeys: { p256dh, auth } };
}
