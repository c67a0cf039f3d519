// The page's state. It is kept in session storage while the browser visits the issuer's page, and ends with the tab.
import type { Receipt } from "../../../clients/sender/types.ts";
import type { StoredNotification } from "../../../clients/web/page/page.ts";
import type { StoredRow, Travelled } from "../messages.ts";

export interface Model {
  readonly devices: Record<string, DeviceModel>;
  /** The newest first. */
  readonly sent: SentModel[];
  readonly timeline: Entry[];
  /** The newest request to each network. */
  travelled: readonly Travelled[];
  stored: readonly StoredRow[];
}

export interface DeviceModel {
  userId: string | undefined;
  isRegistered: boolean;
  isExpired: boolean;
  /** The newest first. */
  readonly notes: Note[];
}

/** What is on a device's screen. */
export type Note =
  | { readonly kind: "payload"; readonly notification: StoredNotification }
  | { readonly kind: "generic"; readonly id: string; readonly why: string }
  | { readonly kind: "refused"; readonly id: string; readonly why: string };

export interface SentModel {
  readonly id: string;
  readonly to: readonly string[];
  readonly payload: string;
  readonly expiresAt: string;
  push: string;
  receipts: readonly Receipt[];
}

interface Entry {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly who: string;
  readonly what: string;
}

const KEY = "page";
const MAX_SENT = 5;
const MAX_ENTRIES = 60;
const MAX_NOTES = 6;

export function loadModel(deviceIds: readonly string[]): Model {
  const text = sessionStorage.getItem(KEY);
  const saved = text === null ? undefined : (JSON.parse(text) as Model); // written by ourselves
  return {
    devices: Object.fromEntries(deviceIds.map((id) => [id, saved?.devices[id] ?? createDevice()])),
    sent: saved?.sent ?? [],
    timeline: saved?.timeline ?? [],
    travelled: saved?.travelled ?? [],
    stored: saved?.stored ?? [],
  };
}

function createDevice(): DeviceModel {
  return { userId: undefined, isRegistered: false, isExpired: false, notes: [] };
}

export function saveModel(model: Model): void {
  model.sent.splice(MAX_SENT);
  model.timeline.splice(0, Math.max(0, model.timeline.length - MAX_ENTRIES));
  for (const device of Object.values(model.devices)) device.notes.splice(MAX_NOTES);
  sessionStorage.setItem(KEY, JSON.stringify(model));
}

/** Puts a note on top of a screen; it replaces an earlier one about the same notification. */
export function addNote({ notes }: DeviceModel, note: Note): void {
  removeNote(notes, toNoteId(note));
  notes.unshift(note);
}

export function removeNote(notes: Note[], id: string): void {
  const index = notes.findIndex((note) => toNoteId(note) === id);
  if (index >= 0) notes.splice(index, 1);
}

export function toNoteId(note: Note): string {
  return note.kind === "payload" ? note.notification.id : note.id;
}
