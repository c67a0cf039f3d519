// The right column: a card for each device, with its screen and its buttons.
import { expire, markRead, remove, signIn, signOut, tryId } from "./deviceActions.ts";
import type { Client, Devices } from "./devices.ts";
import { byId, h, replaceChildren } from "./dom.ts";
import { type DeviceModel, type Note, toNoteId } from "./model.ts";

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
  const goToIssuer = () => void signIn(devices, client);
  if (device?.userId === undefined) {
    const primary = button(`Sign in as ${info.userId}`, goToIssuer);
    primary.className = "primary";
    return h("div", { class: "row" }, primary);
  }
  const hasSent = devices.model.sent.length > 0;
  return h(
    "div",
    { class: "row" },
    device.isExpired
      ? button("Sign in again", goToIssuer)
      : button("Let the token expire", () => void expire(devices, client)),
    hasSent ? button("Ask for the newest ID", () => void tryId(devices, client)) : undefined,
    button("Sign out", () => void signOut(devices, client)),
  );
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
