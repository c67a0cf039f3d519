// What the page shows of the push networks: what travelled, and what was refused while a network is away. The page's
// devices have push channels of the emulated hub or of the local push service. No network I/O of its own.
import { randomBytes } from "node:crypto";
import type { HubEmulator } from "../../packages/notification-hubs-emulator/emulator.ts";
import type { WebPushService } from "../webPushService.ts";
import type { NetworkEvent, PageDevice, Travelled } from "./messages.ts";

export interface PushNetwork {
  /** Takes both networks away, or brings them back. */
  readonly switch: (isAway: boolean) => void;
  readonly isAway: () => boolean;
  /** Makes a push channel for a device of the page. @throws Error where Web Push is not served. */
  readonly addDevice: (deviceId: string, vapidPublicKey: string | undefined) => PageDevice;
  readonly close: () => void;
}

export interface PushNetworkOptions {
  readonly hub: HubEmulator;
  readonly webPush?: WebPushService | undefined;
  readonly onEvent: (event: NetworkEvent) => void;
}

const AWAY = { status: 503, headers: { "retry-after": "2" } } as const;
/** How often the requests that the hub refused are looked at. */
const LOOK_INTERVAL_MS = 250;

type ReceivedRequest = HubEmulator["requests"][number];

interface State {
  /** By push channel. */
  readonly devices: Map<string, string>;
  isAway: boolean;
  seenRequests: number;
}

export function createPushNetwork({ hub, webPush, onEvent }: PushNetworkOptions): PushNetwork {
  const state: State = { devices: new Map(), isAway: false, seenRequests: hub.requests.length };
  const report = (pushChannel: string, travelled: Travelled) => {
    const deviceId = state.devices.get(pushChannel);
    if (deviceId === undefined) return; // not a device of the page
    onEvent({ type: "travelled", travelled });
    onEvent({ type: "pushed", deviceId, text: travelled.text });
  };
  const stops = [
    hub.onDelivery(({ pushChannel, body }) => {
      // The request is recorded before its deliveries.
      const request = hub.requests.at(-1);
      if (request !== undefined) report(pushChannel, toTravelled(request, body));
    }),
    webPush?.onPush(({ endpoint, headers, body, text }) =>
      report(endpoint, {
        network: "Web Push",
        request: toRequestText("POST", new URL(endpoint).pathname, Object.entries(headers)),
        body: body.toString("hex"),
        isEncrypted: true,
        text,
      }),
    ),
  ];
  const timer = setInterval(() => reportRefused(hub, state, onEvent), LOOK_INTERVAL_MS).unref();
  return {
    switch: (isAway) => {
      if (isAway === state.isAway) return;
      state.isAway = isAway;
      if (isAway) hub.fail({ times: Infinity, answer: AWAY });
      else hub.clearFaults();
      webPush?.answerWith(isAway ? () => refuse(onEvent) : undefined);
      onEvent({ type: "switched", isAway });
    },
    isAway: () => state.isAway,
    addDevice: (deviceId, vapidPublicKey) => {
      // A device has one push channel; the page of another tab may have had an earlier one.
      for (const [known, holder] of state.devices) if (holder === deviceId) state.devices.delete(known);
      if (vapidPublicKey === undefined) {
        const pushChannel = randomBytes(32).toString("hex");
        state.devices.set(pushChannel, deviceId);
        return { platform: "apns", pushChannel };
      }
      if (webPush === undefined) throw new Error("Web Push is not served here");
      const pushChannel = webPush.subscribe(vapidPublicKey);
      state.devices.set(pushChannel.endpoint, deviceId);
      return { platform: "browser", pushChannel };
    },
    close: () => {
      clearInterval(timer);
      for (const stop of stops) stop?.();
    },
  };
}

function refuse(onEvent: PushNetworkOptions["onEvent"]) {
  onEvent({ type: "refused", network: "Web Push" });
  return AWAY;
}

function reportRefused(hub: HubEmulator, state: State, onEvent: PushNetworkOptions["onEvent"]): void {
  const requests = hub.requests.slice(state.seenRequests);
  state.seenRequests = hub.requests.length;
  const isRefused = requests.some(({ method, status }) => method === "POST" && status === AWAY.status);
  if (isRefused) onEvent({ type: "refused", network: "Notification Hub" });
}

function toTravelled({ method, path, rawHeaders, body }: ReceivedRequest, text: string): Travelled {
  const headers = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ""] as const] : [],
  );
  return {
    network: "Notification Hub",
    request: toRequestText(method, path, headers),
    body: body.toString("utf8"),
    isEncrypted: false,
    text,
  };
}

/** A signature is a credential, and a screen may be shared. */
function toRequestText(
  method: string,
  path: string,
  headers: readonly (readonly [string, string])[],
): string {
  const lines = headers.map(([name, value]) =>
    name.toLowerCase() === "authorization" ? `${name}: ${value.split(" ")[0] ?? ""} …` : `${name}: ${value}`,
  );
  return [`${method} ${path}`, ...lines].join("\n");
}
