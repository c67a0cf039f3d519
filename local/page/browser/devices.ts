// The devices of the page. Each is a service worker of its own, under its own scope, as a browser on another machine
// would be. Its push messages come from the local push networks through the page.
import {
  createPushClient,
  type Failure,
  type PushClient,
  type WorkerEvent,
} from "../../../clients/web/page/page.ts";
import type { Settings } from "../messages.ts";
import { addNote, type Model } from "./model.ts";
import { createSimulatedPushManager } from "./simulatedPushManager.ts";

interface DeviceInfo {
  readonly id: string;
  readonly name: string;
  readonly userId: string;
  readonly isBrowser: boolean;
  readonly about: string;
}

export const DEVICES: readonly DeviceInfo[] = [
  {
    id: "adas-phone",
    name: "Ada’s phone",
    userId: "ada",
    isBrowser: false,
    about: "Its pushes come through the Notification Hub, as Apple’s would.",
  },
  {
    id: "adas-browser",
    name: "Ada’s browser",
    userId: "ada",
    isBrowser: true,
    about: "Its pushes come as Web Push, encrypted for this browser.",
  },
  {
    id: "mallorys-phone",
    name: "Mallory’s phone",
    userId: "mallory",
    isBrowser: false,
    about: "A stranger, with a valid token of her own.",
  },
];

export interface Devices {
  readonly model: Model;
  readonly settings: Settings;
  readonly clients: ReadonlyMap<string, Client>;
  readonly log: (who: string, what: string) => void;
  readonly changed: () => void;
}

export interface Client {
  readonly info: DeviceInfo;
  readonly registration: ServiceWorkerRegistration;
  readonly push: PushClient;
}

export async function createClients({
  apiUrl,
  isWebPushServed,
}: Settings): Promise<ReadonlyMap<string, Client>> {
  const infos = DEVICES.filter(({ isBrowser }) => !isBrowser || isWebPushServed);
  const entries = infos.map(async (info) => {
    const registration = await navigator.serviceWorker.register("/worker.js", {
      scope: `/devices/${info.id}/`,
    });
    const pushManager = createSimulatedPushManager(info.id);
    const push = createPushClient({ registration, apiUrl, pushManager });
    return [info.id, { info, registration, push }] as const;
  });
  return new Map(await Promise.all(entries));
}

export function startDevices(devices: Devices): void {
  for (const { info, push } of devices.clients.values())
    push.onEvent((event) => showEvent(devices, info, event));
}

/**
 * Hands a push to the device's worker, in place of the browser's push service. The page of another profile has devices of
 * the same names: what was pushed to those must not wake the ones here.
 */
export function deliver({ model, clients, log }: Devices, deviceId: string, text: string): void {
  const client = clients.get(deviceId);
  if (client === undefined || model.devices[deviceId]?.isRegistered !== true) return;
  log("Push network", `wakes ${client.info.name} with ${toIdText(text)}`);
  client.registration.active?.postMessage({ type: "simulatedPush", text });
}

function toIdText(push: string): string {
  const id = /"secureId":"([0-9A-Z]{8})/.exec(push)?.[1];
  return id === undefined ? "a message without an ID" : `the ID ${id}…, and nothing else`;
}

function showEvent({ model, log, changed }: Devices, { id, name }: DeviceInfo, event: WorkerEvent): void {
  const device = model.devices[id];
  if (device === undefined) return;
  switch (event.type) {
    case "woken":
      log(name, "woke up, and asks getNotification with its token");
      break;
    case "repeated":
      log(name, "has seen this ID already, and does nothing");
      break;
    case "shown":
      log(name, "got the payload, and shows it");
      addNote(device, { kind: "payload", notification: event.notification });
      break;
    case "generic":
      log(name, `shows the generic text: ${toWhy(event.failure)}`);
      addNote(device, { kind: "generic", id: event.id ?? "", why: toWhy(event.failure) });
      break;
  }
  changed();
}

export function toWhy({ reason, status }: Failure): string {
  if (reason === "token_missing") return "nobody is signed in";
  if (reason === "offline") return "the service could not be reached";
  return status === undefined ? reason : `${status} ${reason}`;
}
