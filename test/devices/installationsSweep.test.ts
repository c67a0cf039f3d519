// Registering, moving, taking over and removing, with a failure at every single call of store and hub in turn, or a
// crash there; then redelivery, or every next step that a user could take, and redelivery. In memory, so that all of it
// is tried.
import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { createClock } from "../../shared/base/clock.ts";
import { createLocalKeyWrapper } from "../../shared/crypto/kek.ts";
import { createKeyring, type KeyRows } from "../../shared/crypto/keyring.ts";
import { createInstallations } from "../../shared/devices/installations.ts";
import { InstallationId } from "../../shared/domain/installation.ts";
import { UserId } from "../../shared/domain/notification.ts";
import { createTasks } from "../../shared/outbox/tasks.ts";
import type { OutboxRow } from "../../shared/store/outboxWork.ts";
import type { DirectoryEntry, DirectoryOutcome, Sender } from "../../shared/push/sender.ts";
import { createSenders } from "../../shared/push/senders.ts";
import { Secret } from "../../shared/base/secret.ts";
import type {
  ChannelHolder,
  ChannelRow,
  DeviceChange,
  DeviceState,
  FormerChannel,
  InstallationRow,
} from "../../shared/store/storedDevices.ts";
import { type Store, StoreUnavailableError, type Versioned } from "../../shared/store/store.ts";
import { silentLog } from "../helpers/store.ts";

const never = new AbortController().signal;
const phone = InstallationId.parse("phone");

/** What store and hub hold. */
function createWorld() {
  return {
    installations: new Map<string, Versioned<InstallationRow>>(),
    former: new Map<string, Versioned<FormerChannel>>(),
    states: new Map<string, Versioned<DeviceState>>(),
    channels: new Map<string, Versioned<ChannelRow>>(),
    /** The directory's entries by their ids. */
    hub: new Map<string, DirectoryEntry>(),
    outbox: new Map<string, Versioned<OutboxRow>>(),
    nextEtag: 0,
  };
}
type World = ReturnType<typeof createWorld>;

/** What becomes of a call: it fails before or after it took effect, or the hub refuses it as its caller's fault. */
type Fate = "passes" | "failsBefore" | "failsAfter" | "isRefused";
type Gate = (name: string) => Fate;

const clock = createClock(silentLog);
const keys = new Map<string, Awaited<ReturnType<KeyRows["readKey"]>>>();
const keyring = createKeyring({
  rows: {
    readKey: (kind, name) => Promise.resolve(keys.get(kind + name)),
    insertKey: (kind, name, key) => {
      keys.set(kind + name, { ...key, etag: "1" });
      return Promise.resolve(key);
    },
    replaceKey: () => Promise.resolve("changed"),
  },
  wrapper: createLocalKeyWrapper([new Secret<Uint8Array>(randomBytes(32))]),
  clock,
});

/** An instance of the service over a world, whose calls the gate judges. */
function createInstance(world: World, gate: Gate) {
  const toKey = ({ recipientKey, installationId }: ChannelHolder) => `${recipientKey}/${installationId}`;
  const call = async <T>(name: string, work: () => T): Promise<T> => {
    const fate = gate(name);
    if (fate === "failsBefore") throw new StoreUnavailableError("before");
    const result = structuredClone(work());
    if (fate === "failsAfter") throw new StoreUnavailableError("after");
    return Promise.resolve(result);
  };
  const put = <T>(rows: Map<string, Versioned<T>>, key: string, value: T, etag: string | undefined) => {
    if (rows.get(key)?.etag !== etag) return undefined;
    const next = String(world.nextEtag++);
    rows.set(key, { value: structuredClone(value), etag: next });
    return next;
  };
  const isCurrent = (rows: ReadonlyMap<string, { readonly etag: string }>, key: string, etag?: string) =>
    rows.get(key)?.etag === etag;
  /** The map and key of a change, and whether it meets the version that it names. */
  const locate = (recipientKey: string, change: DeviceChange) => {
    if (change.kind === "putState" || change.kind === "deleteState")
      return { rows: world.states, key: recipientKey };
    if (change.kind === "putFormer")
      return { rows: world.former, key: `${recipientKey}/${change.row.channelKey}` };
    if (change.kind === "deleteFormer")
      return { rows: world.former, key: `${recipientKey}/${change.channelKey}` };
    const id = change.kind === "putInstallation" ? change.row.installationId : change.installationId;
    return { rows: world.installations, key: `${recipientKey}/${id}` };
  };
  const apply = (recipientKey: string, change: DeviceChange) => {
    const { rows, key } = locate(recipientKey, change);
    if (!("row" in change)) return void rows.delete(key);
    return put(rows as Map<string, Versioned<typeof change.row>>, key, change.row, change.etag);
  };
  const of = <T extends { readonly recipientKey: string }>(
    rows: ReadonlyMap<string, Versioned<T>>,
    recipientKey: string,
  ) => [...rows.values()].filter(({ value }) => value.recipientKey === recipientKey);
  const store: Partial<Store> = {
    readInstallation: (holder) => call("readInstallation", () => world.installations.get(toKey(holder))),
    listDeviceRows: (recipientKey) =>
      call("listDeviceRows", () => {
        const state = world.states.get(recipientKey);
        return {
          installations: of(world.installations, recipientKey).map((row) => ({
            ...row,
            installationId: row.value.installationId,
          })),
          former: of(world.former, recipientKey),
          ...(state === undefined ? {} : { state }),
        };
      }),
    changeDevices: (recipientKey, changes) =>
      call("changeDevices", () => {
        const isMet = changes.every((change) => {
          const { rows, key } = locate(recipientKey, change);
          return isCurrent(rows, key, change.etag);
        });
        return isMet ? changes.map((change) => apply(recipientKey, change)) : undefined;
      }),
    writeOutbox: ({ key, before, after }) =>
      call("writeOutbox", () => {
        if (!isCurrent(world.outbox, key, before?.etag)) return undefined;
        if (after !== undefined) return put(world.outbox, key, after, before?.etag);
        world.outbox.delete(key);
        return "";
      }),
    readChannel: (channelKey) => call("readChannel", () => world.channels.get(channelKey)),
    writeChannel: (channelKey, row, etag) =>
      call("writeChannel", () => put(world.channels, channelKey, row, etag)),
  };
  const ask = async (name: string, work: () => void): Promise<DirectoryOutcome> => {
    const fate = gate(name);
    if (fate === "failsBefore") return { kind: "transient", cause: "before" };
    if (fate === "isRefused") return { kind: "refused", status: 400 };
    work();
    return Promise.resolve(
      fate === "failsAfter" ? { kind: "transient", cause: "after" } : { kind: "accepted" },
    );
  };
  const hub: Sender = {
    name: "hub",
    platforms: ["fcmv1"],
    isServing: () => true,
    push: () => Promise.reject(new Error("nothing is pushed here")),
    groups: {
      maxRecipients: 1,
      maxDirectPushes: 1,
      visibleAfterMs: 120_000,
      push: () => Promise.reject(new Error("nothing is pushed here")),
    },
    directory: {
      put: (entry) => ask("put", () => void world.hub.set(entry.entryId, entry)),
      remove: (entryId) => ask("remove", () => void world.hub.delete(entryId)),
    },
  };
  const options = {
    store: store as Store,
    keyring,
    senders: createSenders([hub]),
    clock,
    limits: {
      defaultTtlSeconds: 60,
      maxPayloadBytes: 1,
      maxInstallations: 50,
      installationTtlDays: 90,
      requireIdempotencyKey: false,
    },
  };
  return createInstallations({ ...options, tasks: createTasks(options) });
}

/** A user registers their phone at a push channel, or removes it. */
interface Step {
  readonly user: "A" | "B";
  readonly channel?: string;
}

const A = (channel?: string): Step => ({ user: "A", ...(channel === undefined ? {} : { channel }) });
const B = (channel?: string): Step => ({ user: "B", ...(channel === undefined ? {} : { channel }) });

async function run(world: World, { user, channel }: Step, gate: Gate = () => "passes"): Promise<string> {
  const instance = createInstance(world, gate);
  const userId = UserId.parse(user);
  try {
    if (channel === undefined) {
      await instance.remove(userId, phone, { log: silentLog, signal: never });
      return "ok";
    }
    const request = { platform: "fcmv1", pushChannel: channel } as const;
    const result = await instance.register(userId, phone, request, { log: silentLog, signal: never });
    return result.ok ? "ok" : result.error.reason;
  } catch (error) {
    return error instanceof StoreUnavailableError ? "store_unavailable" : String(error);
  }
}

/** What redelivery does, when every lease is over: in any order, and again until nothing is left for later. */
async function redeliver(world: World): Promise<void> {
  for (let pass = 0; pass < 5 && world.outbox.size > 0; pass++)
    for (const [key, { value, etag }] of [...world.outbox].toReversed()) {
      if (value.work.kind !== "reconcile") throw new Error("not a task of installations");
      const context = { log: silentLog, signal: never };
      const result = await createInstance(world, () => "passes").reconcile(value.work, context);
      if (result === "done" && world.outbox.get(key)?.etag === etag) world.outbox.delete(key);
    }
}

/** Whose devices a push would reach at a channel. */
async function listOwners(world: World, channelKey: string): Promise<readonly InstallationRow[]> {
  const purposes = await keyring.purposes(never);
  const context = { log: silentLog, signal: never };
  const listings = await Promise.all(
    ["A", "B"].map((user) =>
      createInstance(world, () => "passes").listDevices(purposes.toRecipientKey(user), context),
    ),
  );
  return listings.flatMap(({ devices }) => devices).filter((device) => device.channelKey === channelKey);
}

/** What a user could suffer from: IDs at another's device, a device that cannot be removed, one that is lost. */
function listFaults(world: World): readonly string[] {
  const faults: string[] = [];
  const rowOf = (holder: ChannelHolder | undefined) =>
    holder && world.installations.get(`${holder.recipientKey}/${holder.installationId}`)?.value;
  for (const { entryId, recipientKey } of world.hub.values()) {
    const channelKey = entryId.slice(0, 64);
    const channel = world.channels.get(channelKey)?.value;
    if (channel?.holder?.recipientKey !== recipientKey)
      faults.push("the directory names another than holds the channel");
    const row = rowOf(channel?.holder);
    if (row?.channelKey !== channelKey || `${channelKey}-${row.generation}` !== entryId)
      faults.push("the directory has an entry that its user cannot remove");
  }
  for (const { value } of world.installations.values()) {
    const channel = world.channels.get(value.channelKey)?.value;
    if (channel?.holder?.recipientKey !== value.recipientKey) faults.push("a row whose channel is another's");
    else if (!world.hub.has(`${value.channelKey}-${value.generation}`))
      faults.push("a device that the directory does not know");
  }
  for (const { value } of world.former.values())
    if (value.removedAt === undefined) faults.push("a record of a former channel that nobody completes");
  for (const { value } of world.channels.values())
    if (value.previous !== undefined) faults.push("a takeover that nobody completes");
  return faults;
}

const SETUPS = [[], [A("k0"), B("k1")]];
const STEPS = [A("k0"), A("k1"), B("k0"), B("k1"), A(), B()];
const NEXT = [A("k0"), B("k0"), A("k2"), B()];

/** The n-th call meets its fate; after a crash every later one does. */
function createGate(n: number, fate: Fate, isCrash: boolean) {
  let calls = 0;
  let isMet = false;
  const gate: Gate = (name) => {
    calls++;
    if (calls > n && isCrash) return "failsBefore";
    if (calls !== n || (fate === "isRefused" && name !== "put")) return "passes";
    isMet = true;
    return fate;
  };
  return { gate, isMet: () => isMet, calls: () => calls };
}

test.each<{ fate: Fate; isCrash: boolean }>([
  { fate: "failsBefore", isCrash: false },
  { fate: "failsAfter", isCrash: false },
  { fate: "failsBefore", isCrash: true },
  { fate: "failsAfter", isCrash: true },
  { fate: "isRefused", isCrash: false },
])("P7: any call that $fate (crash: $isCrash) leaves nothing that redelivery does not mend", async (row) => {
  const purposes = await keyring.purposes(never);
  let runs = 0;
  for (const setup of SETUPS)
    for (const step of STEPS)
      for (let n = 1, isOver = false; !isOver; n++)
        for (const next of [undefined, ...NEXT]) {
          const world = createWorld();
          for (const earlier of setup) await run(world, earlier);
          const failing = createGate(n, row.fate, row.isCrash);
          const first = await run(world, step, failing.gate);
          isOver = failing.calls() < n;
          if (!failing.isMet()) continue;
          runs++;
          const story = JSON.stringify({ setup, step, n, first, next });
          if (next !== undefined) expect(await run(world, next), story).toBe("ok");
          if (next?.channel !== undefined) {
            const channelKey = purposes.toChannelKey("fcmv1", next.channel);
            const owner = purposes.toRecipientKey(next.user);
            // Before redelivery too: a row that an unfinished registration has left is nobody's device.
            const owners = await listOwners(world, channelKey);
            expect(
              owners.map(({ recipientKey }) => recipientKey),
              story,
            ).toEqual([owner]);
            const entry = world.hub.get(`${channelKey}-${owners[0]?.generation ?? ""}`);
            expect(entry?.recipientKey, story).toBe(owner);
          }
          await redeliver(world);
          expect(listFaults(world), story).toEqual([]);
          expect(world.outbox.size, story).toBe(0);
          // Whatever happened: who removes their phone has none, anywhere.
          expect([await run(world, A()), await run(world, B())], story).toEqual(["ok", "ok"]);
          await redeliver(world);
          expect([world.hub.size, world.installations.size], story).toEqual([0, 0]);
          expect(listFaults(world), story).toEqual([]);
          const holders = [...world.channels.values()].filter(({ value }) => value.holder !== undefined);
          expect(holders, story).toEqual([]);
        }
  expect(runs).toBeGreaterThanOrEqual(30);
});

test("registrations and removals while the directory is away stay bounded, and are all cleaned up", async () => {
  const world = createWorld();
  const isDirectory = (name: string) => name === "put" || name === "remove";
  const away = createInstance(world, (name) => (isDirectory(name) ? "failsBefore" : "passes"));
  const context = { log: silentLog, signal: never };
  const userId = UserId.parse("A");
  const register = (id: string, pushChannel: string) =>
    away.register(userId, InstallationId.parse(id), { platform: "fcmv1", pushChannel }, context);
  // One push channel under ever new installation ids.
  for (let round = 0; round < 222; round++) {
    const id = `phone-${round}`;
    expect(await register(id, "k0")).toMatchObject({ ok: true, value: { isPending: true } });
    await away.remove(userId, InstallationId.parse(id), context);
  }
  expect([world.former.size, world.channels.size, world.installations.size]).toEqual([1, 1, 0]);
  // Ever new push channels: at some point the user has to wait for the hub.
  const results = [];
  for (let round = 0; round < 60; round++) results.push(await register("phone", `k${round + 1}`));
  expect(results.at(-1)).toEqual({
    ok: false,
    error: { reason: "hub_unavailable", retryAfterSeconds: expect.any(Number) as number },
  });
  expect(world.former.size).toBe(50);
  await redeliver(world);
  expect(world.outbox.size).toBe(0);
  expect(listFaults(world)).toEqual([]);
  expect(world.hub.size).toBe(1);
});
