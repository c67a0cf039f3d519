// What a device does with the service: sign in, register, fetch, mark read, delete, sign out.
import type { PushClient } from "../../../clients/web/page/page.ts";
import { startSignIn } from "../../../clients/web/page/signIn.ts";
import { type Client, type Devices, toWhy } from "./devices.ts";
import { addNote, type DeviceModel, type Note, removeNote, toNoteId } from "./model.ts";
import { post } from "./server.ts";

/** Leaves the page for the issuer, which leads back to it. */
export async function signIn({ settings }: Devices, { info: { id, userId } }: Client): Promise<void> {
  await startSignIn(settings.signIn, { returnTo: id, loginHint: userId });
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

/** Answers why the subscription failed, or nothing if it succeeded. */
async function subscribe(push: PushClient): Promise<string | undefined> {
  const result = await push.subscribe();
  if (result.kind === "subscribed") return undefined;
  return result.kind === "failed" ? toWhy(result.failure) : result.kind;
}

async function registerPhone({ info, push }: Client): Promise<string | undefined> {
  const device = await post("/devices", {
    deviceId: info.id,
  });
  const registered = await push.register(device);
  return registered.isOk ? undefined : toWhy(registered.failure);
}

export async function signOut(devices: Devices, { info, push }: Client): Promise<void> {
  const device = devices.model.devices[info.id];
  if (device === undefined) return;
  await push.signOut();
  Object.assign(device, { userId: undefined, isRegistered: false, isExpired: false });
  device.notes.splice(0);
  devices.log(info.name, "signed out: its registration is removed");
  devices.changed();
}

/** Gives the device an expired token. A device that was switched off for an hour would have one. */
export async function expire(devices: Devices, { info, push }: Client): Promise<void> {
  const device = devices.model.devices[info.id];
  if (device?.userId === undefined) return;
  const { accessToken } = await post("/expired-token", {
    userId: device.userId,
  });
  device.isExpired = true;
  await push.signIn(accessToken, device.userId);
  devices.log(info.name, "has a token that expired an hour ago");
  devices.changed();
}

/** Asks for the newest notification, whoever it belongs to: a stranger may have learned the ID. */
export async function tryId({ model, log, changed }: Devices, { info, push }: Client): Promise<void> {
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

export async function markRead(devices: Devices, { info, push }: Client, id: string): Promise<void> {
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

export async function remove(devices: Devices, { info, push }: Client, id: string): Promise<void> {
  const device = devices.model.devices[info.id];
  const removed = await push.remove(id);
  if (removed.isOk && device !== undefined) removeNote(device.notes, id);
  devices.log(info.name, removed.isOk ? "deleted it: the payload is erased" : "could not delete it");
  devices.changed();
}
