// What each outcome of a push makes of it, with a sender of our own in place of the hub, on real storage.
import { randomBytes } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { createLocalKeyWrapper } from "../../shared/crypto/kek.ts";
import { createKeyring } from "../../shared/crypto/keyring.ts";
import { createInstallations } from "../../shared/devices/installations.ts";
import { InstallationId } from "../../shared/domain/installation.ts";
import { type PushStatus, SendRequest, UserId } from "../../shared/domain/notification.ts";
import { toBackOffMs } from "../../shared/outbox/outbox.ts";
import { createTasks } from "../../shared/outbox/tasks.ts";
import type { PushOutcome } from "../../shared/push/sender.ts";
import { createSenders } from "../../shared/push/senders.ts";
import { createSend } from "../../shared/sending/sending.ts";
import { Secret } from "../../shared/base/secret.ts";
import { accepted, createDirectSender, createGroupSender, type TestSender } from "../helpers/testSender.ts";
import { createTestStore, silentLog } from "../helpers/store.ts";

const never = new AbortController().signal;
const ann = UserId.parse("ann");

/** A deployment with one sender, whose pushes come to what `answer` says; `before` runs while a push is under way. */
function createWorld(
  createSender: () => TestSender,
  answer: (address: string) => PushOutcome,
  before: () => Promise<void> = () => Promise.resolve(),
) {
  const { store, clock, rawTable } = createTestStore();
  const keyring = createKeyring({
    rows: store,
    wrapper: createLocalKeyWrapper([new Secret<Uint8Array>(randomBytes(32))]),
    clock,
  });
  const tested = createSender();
  tested.answer = async (address) => {
    await before();
    return answer(address);
  };
  const senders = createSenders([tested.sender]);
  const limits = {
    defaultTtlSeconds: 600,
    maxPayloadBytes: 1000,
    maxInstallations: 50,
    installationTtlDays: 90,
    requireIdempotencyKey: false,
  };
  const alertText = { defaultDisplay: "alert", title: { text: "t" }, body: { text: "b" } } as const;
  const options = { store, keyring, clock, senders, limits, alertText };
  const installations = createInstallations({ ...options, tasks: createTasks(options) });
  const send = createSend({ ...options, installations });
  return {
    calls: tested.calls,
    rawTable,
    register: (name: string, pushChannel: string) =>
      installations.register(
        ann,
        InstallationId.parse(name),
        { platform: "fcmv1", pushChannel },
        { log: silentLog, signal: never },
      ),
    send: async (): Promise<PushStatus> => {
      const request = SendRequest.parse({ to: ["ann"], payload: 1 });
      const sent = await send({ request, payload: new Secret("1") }, { log: silentLog, signal: never });
      if (!sent.ok) throw new Error(sent.error.reason);
      return sent.value.push;
    },
    listInstallations: async () =>
      (await Array.fromAsync(rawTable("installations").listEntities()))
        .map(({ rowKey = "" }) => rowKey)
        .filter((rowKey) => !rowKey.startsWith("~")),
    listHeldChannels: async () =>
      (await Array.fromAsync(rawTable("channels").listEntities())).filter(
        ({ recipientKey }) => recipientKey !== undefined,
      ),
  };
}

/** The same for a sender like the hub, and for one that pushes to single devices alone. */
const SENDERS = [
  ["a sender with groups", createGroupSender],
  ["a direct sender", createDirectSender],
] as const;

describe.each(SENDERS)("%s", (_name, createSender) => {
  describe("a device that its push service calls gone", () => {
    test("R116: is removed, with its push channel, and it alone", async () => {
      const world = createWorld(createSender, (address) =>
        address === "dead" ? { kind: "gone" } : accepted,
      );
      await world.register("old", "dead");
      await world.register("new", "alive");
      expect(await world.send()).toBe("accepted");
      expect(await world.listInstallations()).toEqual(["new"]);
      expect(await world.listHeldChannels()).toHaveLength(1);
      expect(await Array.fromAsync(world.rawTable("outbox").listEntities())).toEqual([]);
      expect(await world.send()).toBe("accepted");
      expect(world.calls.filter((address) => address === "dead")).toHaveLength(1);
    });

    test("was all that there was: the push has no device", async () => {
      const world = createWorld(createSender, () => ({ kind: "gone" }));
      await world.register("only", "dead");
      expect(await world.send()).toBe("noDevices");
      expect(await world.listInstallations()).toEqual([]);
    });

    test.each([
      ["stays where it has registered anew meanwhile, with another channel", "newer", ["phone"]],
      ["goes where the app has only repeated its dead channel meanwhile", "dead", []],
    ])("R117: %s", async (_how, channel, left) => {
      let registering = Promise.resolve<unknown>(undefined);
      const world = createWorld(
        createSender,
        (address) => (address === "dead" ? { kind: "gone" } : accepted),
        async () => {
          registering = world.register("phone", channel);
          await registering;
        },
      );
      await world.register("phone", "dead");
      await world.send();
      await registering;
      expect(await world.listInstallations()).toEqual(left);
    });
  });

  test.each<[PushOutcome, PushStatus]>([
    [{ kind: "throttled", retryAfterSeconds: 9 }, "pending"],
    [{ kind: "transient", cause: "x" }, "pending"],
    [{ kind: "credentials", status: 401 }, "pending"],
    [{ kind: "message", status: 400 }, "failed"],
    [{ kind: "damaged" }, "failed"],
  ])("R112, R116: $kind makes the push $1 and removes no device", async (outcome, status) => {
    const world = createWorld(createSender, () => outcome);
    await world.register("phone", "x");
    expect(await world.send()).toBe(status);
    expect(await world.listInstallations()).toEqual(["phone"]);
  });

  test("of one recipient's devices the most telling counts: pending, accepted, failed", async () => {
    const outcomes: Record<string, PushOutcome> = {
      a: accepted,
      b: { kind: "message", status: 400 },
      c: { kind: "transient", cause: "x" },
    };
    const world = createWorld(createSender, (address) => outcomes[address] ?? accepted);
    await world.register("b", "b");
    expect(await world.send()).toBe("failed");
    await world.register("a", "a");
    expect(await world.send()).toBe("accepted");
    await world.register("c", "c");
    expect(await world.send()).toBe("pending");
  });
});

describe("R111: the back-off", () => {
  const transient: PushOutcome = { kind: "transient", cause: "x" };
  const credentials: PushOutcome = { kind: "credentials", status: 401 };
  let least: (attempts: number, ...outcomes: readonly PushOutcome[]) => number;
  let most: typeof least;
  beforeEach(() => {
    least = (attempts, ...outcomes) => toBackOffMs(attempts, outcomes, () => 0);
    most = (attempts, ...outcomes) => toBackOffMs(attempts, outcomes, () => 1);
  });

  test.each([
    [0, 500, 1_000],
    [1, 1_000, 2_000],
    [5, 16_000, 32_000],
    [9, 150_000, 300_000],
    [1_000_000, 150_000, 300_000],
  ])("after %i tries is from %i to %i ms", (attempts, lowest, highest) => {
    expect([least(attempts, transient), most(attempts, transient)]).toEqual([lowest, highest]);
  });

  test("is long where somebody has to mend our credentials", () => {
    expect([least(0, transient, credentials), most(20, credentials)]).toEqual([30_000, 900_000]);
  });

  test("is never shorter than Retry-After", () => {
    expect(least(0, { kind: "throttled", retryAfterSeconds: 30 }, transient)).toBeGreaterThanOrEqual(30_000);
  });
});
