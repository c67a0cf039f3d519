// What the service worker keeps from one push to the next, in IndexedDB: a worker is stopped between events, so its
// variables do not last. I/O: IndexedDB.
import type { DeviceRegistration, Session } from "../messages.ts";

export interface State {
  readonly readSession: () => Promise<Session | undefined>;
  readonly writeSession: (session: Session) => Promise<void>;
  readonly readDevice: () => Promise<Device | undefined>;
  readonly writeDevice: (device: Device) => Promise<void>;
  /** Whether a push was received whose payload could not be fetched. */
  readonly hasMissed: () => Promise<boolean>;
  readonly setMissed: (hasMissed: boolean) => Promise<void>;
  readonly hasSeen: (id: string) => Promise<boolean>;
  readonly addSeen: (id: string) => Promise<void>;
  /** Forgets everything but the device, whose id stays the same for its next user. */
  readonly clear: () => Promise<void>;
}

/** This device at the service. */
interface Device {
  readonly installationId: string;
  /** Absent until the first registration. */
  readonly registration?: DeviceRegistration;
}

const VALUES = "values";
const SEEN = "seen";
/** A push is repeated within minutes, so a few hundred IDs are plenty. */
const MAX_SEEN = 500;

export function createState(databaseName: string): State {
  let opened: Promise<IDBDatabase> | undefined;
  const open = () => (opened ??= openDatabase(databaseName));
  const read = async (key: string) => run((await open()).transaction(VALUES).objectStore(VALUES).get(key));
  const write = async (key: string, value: unknown) => {
    await run((await open()).transaction(VALUES, "readwrite").objectStore(VALUES).put(value, key));
  };
  return {
    readSession: async () => (await read("session")) as Session | undefined, // written by ourselves
    writeSession: (session) => write("session", session),
    readDevice: async () => (await read("device")) as Device | undefined,
    writeDevice: (device) => write("device", device),
    hasMissed: async () => (await read("missed")) === true,
    setMissed: (hasMissed) => write("missed", hasMissed),
    hasSeen: async (id) =>
      (await run((await open()).transaction(SEEN).objectStore(SEEN).getKey(id))) !== undefined,
    addSeen: async (id) => addSeen(await open(), id),
    clear: async () => clear(await open()),
  };
}

function openDatabase(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, 1);
  request.addEventListener("upgradeneeded", () => {
    request.result.createObjectStore(VALUES);
    request.result.createObjectStore(SEEN).createIndex("at", "");
  });
  return run(request);
}

/** Adds an ID, and removes the oldest ones above the limit. */
async function addSeen(database: IDBDatabase, id: string): Promise<void> {
  const seen = database.transaction(SEEN, "readwrite").objectStore(SEEN);
  await run(seen.put(Date.now(), id));
  const tooMany = (await run(seen.count())) - MAX_SEEN;
  if (tooMany <= 0) return;
  // The index is ordered by time, and gives the keys of the oldest first.
  const oldest = seen.index("at").openKeyCursor();
  let left = tooMany;
  await new Promise<void>((resolve, reject) => {
    oldest.addEventListener("error", () => reject(toError(oldest.error)));
    oldest.addEventListener("success", () => {
      const cursor = oldest.result;
      if (cursor === null || left === 0) return resolve();
      left--;
      seen.delete(cursor.primaryKey);
      cursor.continue();
    });
  });
}

async function clear(database: IDBDatabase): Promise<void> {
  const transaction = database.transaction([VALUES, SEEN], "readwrite");
  const values = transaction.objectStore(VALUES);
  await Promise.all([
    run(values.delete("session")),
    run(values.delete("missed")),
    run(transaction.objectStore(SEEN).clear()),
  ]);
}

function run<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(toError(request.error)));
  });
}

function toError(error: DOMException | null): Error {
  return error ?? new Error("IndexedDB failed");
}
