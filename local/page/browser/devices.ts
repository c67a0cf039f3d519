// The right column: devices. Each is a service worker of its own, under its own scope, as a browser on another machine
// would be; its push messages come from the local push networks through the page.
import {
  createPushClient,
  type Failure,
  type PushClient,
  type WorkerEvent,
} from "../../../clients/web/page/page.ts";
import { type SignInOptions, startSignIn } from "../../../clients/web/page/signIn.ts";
import { byId, h, replaceChildren } from "./dom.ts";
import { addNote, type DeviceModel, type Model, type Note, removeNote, toNoteId } from "./model.ts";
import { post, type Settings } from "./server.ts";
import { createSimulatedPushManager } from "./simulatedPushManager.ts";

export interface DeviceInfo {
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

interface Client {
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

/** Completes a sign-in that the issuer has granted. */
export async function signedIn(
  devices: Devices,
  deviceId: string,
  accessToken: string,
  userId: string,
): Promise<void> {
  const client = devices.clients.get(deviceId);
  const device = devices.model.devices[deviceId];
  if (client === undefined || device === undefined) return;
  devices.log(client.info.name, `signed in as ${userId}`);
  Object.assign(device, { userId, isExpired: false });
  await register(devices, client, device, accessToken);
  devices.changed();
}

async function register(
  devices: Devices,
  client: Client,
  device: DeviceModel,
  accessToken: string,
): Promise<void> {
  const { info, push } = client;
  const session = await push.signIn(accessToken, device.userId ?? "");
  if (!session.isOk) devices.log(info.name, `could not catch up: ${toWhy(session.failure)}`);
  const refusal = await registerChannel(client);
  device.isRegistered = refusal === undefined;
  devices.log(
    info.name,
    refusal === undefined ? "registered its push channel" : `could not register: ${refusal}`,
  );
}

/** Registers anew when the page starts, as an app does: the local push networks forget channels when they restart. */
export async function renew({ model, clients, log }: Devices): Promise<void> {
  for (const client of clients.values()) {
    if (model.devices[client.info.id]?.isRegistered !== true) continue;
    const refusal = await registerChannel(client);
    if (refusal === undefined) await client.push.catchUp();
    else log(client.info.name, `could not renew its registration: ${refusal}`);
  }
}

function registerChannel(client: Client): Promise<string | undefined> {
  return client.info.isBrowser ? subscribe(client.push) : registerPhone(client);
}

/** Answers why it failed; nothing where it succeeded. */
async function subscribe(push: PushClient): Promise<string | undefined> {
  const result = await push.subscribe();
  if (result.kind === "subscribed") return undefined;
  return result.kind === "failed" ? toWhy(result.failure) : result.kind;
}

async function registerPhone({ info, push }: Client): Promise<string | undefined> {
  const device = await post<{ readonly platform: string; readonly pushChannel: string }>("/devices", {
    deviceId: info.id,
  });
  const registered = await push.register(device);
  return registered.isOk ? undefined : toWhy(registered.failure);
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

// Actions of the user

async function signOut(devices: Devices, { info, push }: Client): Promise<void> {
  const device = devices.model.devices[info.id];
  if (device === undefined) return;
  await push.signOut();
  Object.assign(device, { userId: undefined, isRegistered: false, isExpired: false });
  device.notes.splice(0);
  devices.log(info.name, "signed out: its registration is removed");
  devices.changed();
}

/** Gives the device a token that has expired, as if it had been in a drawer for an hour. */
async function expire(devices: Devices, { info, push }: Client): Promise<void> {
  const device = devices.model.devices[info.id];
  if (device?.userId === undefined) return;
  const { accessToken } = await post<{ readonly accessToken: string }>("/expired-token", {
    userId: device.userId,
  });
  device.isExpired = true;
  await push.signIn(accessToken, device.userId);
  devices.log(info.name, "has a token that expired an hour ago");
  devices.changed();
}

/** Asks for the newest notification, whoever it belongs to: a stranger may have learned the ID. */
async function tryId({ model, log, changed }: Devices, { info, push }: Client): Promise<void> {
  const device = model.devices[info.id];
  const id = model.sent[0]?.id;
  if (device === undefined || id === undefined) return;
  log(info.name, `asks for ${id.slice(0, 8)}… with a valid token of its own`);
  const fetched = await push.fetch(id);
  const note: Note = fetched.isOk
    ? { kind: "payload", notification: fetched.value }
    : { kind: "refused", id, why: toWhy(fetched.failure) };
  addNote(device, note);
  log(info.name, fetched.isOk ? "got the payload" : `was refused: ${toWhy(fetched.failure)}`);
  changed();
}

async function markRead(devices: Devices, { info, push }: Client, id: string): Promise<void> {
  const device = devices.model.devices[info.id];
  const marked = await push.markRead(id);
  const note = device?.notes.find((known) => toNoteId(known) === id);
  if (marked.isOk && device !== undefined && note?.kind === "payload") {
    const index = device.notes.indexOf(note);
    device.notes[index] = { kind: "payload", notification: { ...note.notification, read: true } };
  }
  devices.log(info.name, marked.isOk ? "marked it read" : `could not mark it read: ${toWhy(marked.failure)}`);
  devices.changed();
}

async function remove(devices: Devices, { info, push }: Client, id: string): Promise<void> {
  const device = devices.model.devices[info.id];
  const removed = await push.remove(id);
  if (removed.isOk && device !== undefined) removeNote(device.notes, id);
  devices.log(info.name, removed.isOk ? "deleted it: the payload is erased" : "could not delete it");
  devices.changed();
}

function toWhy({ reason, status }: Failure): string {
  if (reason === "token_missing") return "nobody is signed in";
  if (reason === "offline") return "the service could not be reached";
  return status === undefined ? reason : `${status} ${reason}`;
}

// The cards

export function renderDevices(devices: Devices): void {
  const cards = [...devices.clients.values()].map((client) => renderDevice(devices, client));
  replaceChildren(byId("devices"), ...cards);
}

function renderDevice(devices: Devices, client: Client): HTMLElement {
  const { info } = client;
  const device = devices.model.devices[info.id];
  const notes = device?.notes ?? [];
  return h(
    "article",
    { class: "card device", "aria-labelledby": `${info.id}-name`, "data-device": info.id },
    h("div", { class: "title-row" }, h("h3", { id: `${info.id}-name` }, info.name), renderStatus(device)),
    h("p", { class: "muted" }, info.about),
    h(
      "div",
      { class: "screen", role: "region", "aria-label": `Screen of ${info.name}`, "aria-live": "polite" },
      ...(notes.length === 0 ? [h("p", { class: "muted" }, "The screen is empty.")] : []),
      ...notes.map((note) => renderNote(devices, client, note)),
    ),
    renderActions(devices, client, device),
  );
}

function renderStatus(device: DeviceModel | undefined): HTMLElement {
  if (device?.userId === undefined) return h("span", { class: "badge" }, "signed out");
  if (device.isExpired) return h("span", { class: "badge wait" }, "token expired");
  return h(
    "span",
    { class: `badge ${device.isRegistered ? "good" : "wait"}` },
    `signed in as ${device.userId}`,
  );
}

function renderActions(devices: Devices, client: Client, device: DeviceModel | undefined): HTMLElement {
  const { info } = client;
  const button = (label: string, action: () => void) => renderButton(`${info.id} ${label}`, label, action);
  const signIn = () => void goToIssuer(devices.settings.signIn, info);
  if (device?.userId === undefined) {
    const primary = button(`Sign in as ${info.userId}`, signIn);
    primary.className = "primary";
    return h("div", { class: "row" }, primary);
  }
  const hasSent = devices.model.sent.length > 0;
  return h(
    "div",
    { class: "row" },
    device.isExpired
      ? button("Sign in again", signIn)
      : button("Let the token expire", () => void expire(devices, client)),
    hasSent ? button("Ask for the newest ID", () => void tryId(devices, client)) : undefined,
    button("Sign out", () => void signOut(devices, client)),
  );
}

async function goToIssuer(options: SignInOptions, { id, userId }: DeviceInfo): Promise<void> {
  await startSignIn(options, { returnTo: id, loginHint: userId });
}

function renderNote(devices: Devices, client: Client, note: Note): HTMLElement {
  const id = toNoteId(note);
  if (note.kind !== "payload") {
    const title = note.kind === "generic" ? "You have a new message" : "No such notification";
    const body = note.kind === "generic" ? "Open the app to read it." : "As if it did not exist.";
    return h(
      "div",
      { class: `note ${note.kind}` },
      h("strong", {}, title),
      h("span", {}, body),
      h("small", {}, note.why),
    );
  }
  const { payload, read } = note.notification;
  const text = toPayloadText(payload);
  const action = (label: string, run: () => void) =>
    renderButton(`${client.info.id} ${id} ${label}`, label, run, `${label}: ${text}`);
  return h(
    "div",
    { class: "note" },
    h("strong", {}, text),
    h(
      "div",
      { class: "row" },
      read
        ? h("span", { class: "badge good" }, "read")
        : action("Mark read", () => void markRead(devices, client, id)),
      action("Delete", () => void remove(devices, client, id)),
    ),
  );
}

/** `name` is for screen readers, where the label alone does not say what it is about. */
function renderButton(key: string, label: string, action: () => void, name?: string): HTMLButtonElement {
  return h("button", { type: "button", "data-key": key, "aria-label": name, onclick: action }, label);
}

function toPayloadText(payload: unknown): string {
  const text = typeof payload === "object" && payload !== null && "text" in payload ? payload.text : payload;
  return typeof text === "string" ? text : JSON.stringify(text);
}
