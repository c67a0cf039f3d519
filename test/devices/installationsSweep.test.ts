// Registering, moving, taking over and removing, with a failure at every single call of store and hub in turn, or a
// crash there; then redelivery, or every next step that a user could take, and redelivery. In memory, so that all of it
// is tried.
import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { createClock } from "../../shared/base/clock.ts";
import { createLocalKeyWrapper } from "../../shared/crypto/kek.ts";
import { createKeyring, type KeyRows } from "../../shared/crypto/keyring.ts";
import { createInstallations } from "../../shared/devices/installations.ts";
import { InstallationId, UserId } from "../../shared/domain/notification.ts";
import type { HubInstallation, HubSender, PushOutcome } from "../../shared/push/sender.ts";
import { Secret } from "../../shared/base/secret.ts";
import {
  type ChannelHolder,
  type ChannelRow,
  type InstallationRow,
  type OutboxRow,
  type Store,
  StoreUnavailableError,
  type Versioned,
} from "../../shared/store/store.ts";
import { silentLog } from "../helpers/store.ts";

const never = new AbortController().signal;
const phone = InstallationId.parse("phone");

/** What store and hub hold. */
function createWorld() {
  return {
    installations: new Map<string, Versioned<InstallationRow>>(),
    channels: new Map<string, Versioned<ChannelRow>>(),
    hub: new Map<string, HubInstallation>(),
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
    if (rows.get(key)?.etag !== etag) return "changed";
    rows.set(key, { value: structuredClone(value), etag: String(world.nextEtag++) });
    return "written";
  };
  const remove = <T>(rows: Map<string, Versioned<T>>, key: string, etag: string) => {
    if (rows.has(key) && rows.get(key)?.etag !== etag) return "changed";
    rows.delete(key);
    return "written";
  };
  const store: Partial<Store> = {
    readInstallation: (holder) => call("readInstallation", () => world.installations.get(toKey(holder))),
    listInstallations: (recipientKey) =>
      call("listInstallations", () =>
        [...world.installations.values()]
          .filter(({ value }) => value.recipientKey === recipientKey)
          .map((found) => ({ ...found, holder: toHolder(found.value) })),
      ),
    writeInstallation: (row, etag) =>
      call("writeInstallation", () => put(world.installations, toKey(row), row, etag)),
    deleteInstallation: (holder, etag) =>
      call("deleteInstallation", () => remove(world.installations, toKey(holder), etag)),
    putOutbox: (key, row, etag) =>
      call("putOutbox", () => {
        if (put(world.outbox, key, row, etag) === "changed") return undefined;
        return world.outbox.get(key)?.etag;
      }),
    deleteOutbox: (key, etag) => call("deleteOutbox", () => remove(world.outbox, key, etag)),
    readChannel: (channelKey) => call("readChannel", () => world.channels.get(channelKey)),
    writeChannel: (channelKey, row, etag) =>
      call("writeChannel", () => put(world.channels, channelKey, row, etag)),
    deleteChannel: (channelKey, etag) =>
      call("deleteChannel", () => remove(world.channels, channelKey, etag)),
  };
  const ask = async (name: string, work: () => void): Promise<PushOutcome> => {
    const fate = gate(name);
    if (fate === "failsBefore") return { kind: "transient", cause: "before" };
    if (fate === "isRefused") return { kind: "message", status: 400 };
    work();
    return Promise.resolve(
      fate === "failsAfter" ? { kind: "transient", cause: "after" } : { kind: "accepted" },
    );
  };
  const hub: Partial<HubSender> = {
    platforms: ["fcmv1"],
    putInstallation: (installation) =>
      ask("putInstallation", () => void world.hub.set(installation.channelKey, installation)),
    deleteInstallation: (channelKey) => ask("deleteInstallation", () => void world.hub.delete(channelKey)),
  };
  return createInstallations({
    store: store as Store,
    keyring,
    hub: hub as HubSender,
    clock,
    limits: {
      defaultTtlSeconds: 60,
      maxPayloadBytes: 1,
      maxInstallations: 50,
      installationTtlDays: 90,
      requireIdempotencyKey: false,
    },
  });
}

/** A user registers their phone at a push channel, or removes it. */
interface Step {
  readonly user: "A" | "B";
  readonly channel?: string;
}

function toHolder({ recipientKey, installationId }: ChannelHolder): ChannelHolder {
  return { recipientKey, installationId };
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

/** What redelivery does, when every lease is over; in any order, and twice where a pass ran twice. */
async function redeliver(world: World): Promise<void> {
  for (const [key, { value, etag }] of [...world.outbox].toReversed()) {
    if (value.work.kind !== "settle") throw new Error("not a task of installations");
    const settled = await createInstance(world, () => "passes").settle(value.work, {
      log: silentLog,
      signal: never,
    });
    if (settled.ok && world.outbox.get(key)?.etag === etag) world.outbox.delete(key);
  }
}

/** What a user could suffer from: IDs at another's device, a device that cannot be removed, one that is lost. */
function listFaults(world: World): readonly string[] {
  const faults: string[] = [];
  const rowOf = (holder: ChannelHolder | undefined) =>
    holder && world.installations.get(`${holder.recipientKey}/${holder.installationId}`)?.value;
  for (const [channelKey, { recipientKey }] of world.hub) {
    const holder = world.channels.get(channelKey)?.value.holder;
    if (holder?.recipientKey !== recipientKey) faults.push("the hub names another than holds the channel");
    if (rowOf(holder)?.channelKey !== channelKey)
      faults.push("the hub has a device that its user cannot remove");
  }
  for (const { value } of world.installations.values()) {
    const channel = world.channels.get(value.channelKey)?.value;
    if (channel?.holder?.recipientKey !== value.recipientKey) faults.push("a row whose channel is another's");
    else if (!world.hub.has(value.channelKey)) faults.push("a device that the hub does not know");
  }
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
    if (calls !== n || (fate === "isRefused" && name !== "putInstallation")) return "passes";
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
            const rows = [...world.installations.values()].filter(
              ({ value }) => value.channelKey === channelKey,
            );
            const owner = purposes.toRecipientKey(next.user);
            expect(
              rows.map(({ value }) => value.recipientKey),
              story,
            ).toEqual([owner]);
            expect(world.hub.get(channelKey)?.recipientKey, story).toBe(owner);
          }
          await redeliver(world);
          expect(listFaults(world), story).toEqual([]);
          expect(world.outbox.size, story).toBe(0);
          // Whatever happened: who removes their phone has none, anywhere.
          expect([await run(world, A()), await run(world, B())], story).toEqual(["ok", "ok"]);
          await redeliver(world);
          expect([world.hub.size, world.installations.size, world.channels.size], story).toEqual([0, 0, 0]);
        }
  expect(runs).toBeGreaterThan(30);
});
