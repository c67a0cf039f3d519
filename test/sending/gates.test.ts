// Backing off: a refusal delays the device that it answers; only refusals that speak for a whole destination close it.
import { describe, expect, test } from "vitest";
import { createClock } from "../../shared/base/clock.ts";
import { CUT_OFF, type PushOutcome } from "../../shared/push/sender.ts";
import { createGates, type Destination } from "../../shared/sending/gates.ts";
import { silentLog } from "../helpers/store.ts";

const hub: Destination = { name: "hub", isOneOfMany: false };
const fcm: Destination = { name: "webPush https://fcm.example", isOneOfMany: true };
const apple: Destination = { name: "webPush https://apple.example", isOneOfMany: true };
const throttled = (retryAfterSeconds: number): PushOutcome => ({ kind: "throttled", retryAfterSeconds });
const transient: PushOutcome = { kind: "transient", cause: "ECONNRESET" };

function createWorld(pauses?: ReadonlyMap<string, Date>) {
  let nowMs = Date.UTC(2026, 0, 1);
  const gates = createGates(
    createClock(silentLog, () => nowMs),
    pauses,
  );
  return {
    gates,
    pass: (seconds: number) => void (nowMs += seconds * 1000),
    note: (destination: Destination, outcome: PushOutcome, ...devices: readonly string[]) => {
      for (const device of devices) gates.note(destination, device, outcome);
    },
  };
}

describe("the hub, which is one destination", () => {
  test("R111: is closed by its first 429, for as long as it says, and opens by itself", () => {
    const { gates, note, pass } = createWorld();
    note(hub, throttled(120), "a");
    expect(gates.closedForSeconds(hub)).toBe(120);
    pass(119);
    expect(gates.closedForSeconds(hub)).toBe(1);
    pass(1);
    expect(gates.closedForSeconds(hub)).toBeUndefined();
  });

  test("is closed by one 503, by refused credentials, and by three other failures in a row", () => {
    for (const outcome of [
      { kind: "transient", cause: "status 503" },
      { kind: "credentials", status: 401 },
    ] as const) {
      const { gates, note } = createWorld();
      note(hub, outcome, "a");
      expect(gates.closedForSeconds(hub), outcome.kind).toBeGreaterThan(0);
    }
    const { gates, note } = createWorld();
    note(hub, transient, "a", "a");
    note(hub, { kind: "accepted" }, "b");
    note(hub, transient, "a", "a");
    expect(gates.closedForSeconds(hub)).toBeUndefined();
    note(hub, transient, "a");
    expect(gates.closedForSeconds(hub)).toBe(5);
  });

  test("is probed after 5, 10, 20, then 30 seconds, and after an answer from 5 again", () => {
    const { gates, note, pass } = createWorld();
    const waits = [5, 10, 20, 30, 30].map(() => {
      note(hub, transient, "a", "b", "c");
      const seconds = gates.closedForSeconds(hub) ?? 0;
      pass(seconds);
      return seconds;
    });
    expect(waits).toEqual([5, 10, 20, 30, 30]);
    note(hub, { kind: "accepted" }, "a");
    note(hub, transient, "a", "b", "c");
    expect(gates.closedForSeconds(hub)).toBe(5);
  });

  test("a time limit of ours is no evidence against it", () => {
    const { gates, note } = createWorld();
    note(hub, { kind: "transient", cause: CUT_OFF }, "a", "b", "c", "d");
    expect(gates.closedForSeconds(hub)).toBeUndefined();
  });

  test("a pause that is known already closes it from the beginning", () => {
    const { gates } = createWorld(new Map([["hub", new Date(Date.UTC(2026, 0, 1) + 60_000)]]));
    expect(gates.closedForSeconds(hub)).toBe(60);
  });
});

describe("one destination of many", () => {
  test("a 429 with an hour's Retry-After of one device closes nothing", () => {
    const { gates, note } = createWorld();
    note(fcm, throttled(3600), "a", "a", "a", "b");
    expect(gates.closedForSeconds(fcm)).toBeUndefined();
  });

  test("three different devices refused in a row close it, and no other", () => {
    const { gates, note } = createWorld();
    note(fcm, throttled(60), "a", "b");
    note(fcm, { kind: "gone" }, "c");
    note(fcm, throttled(60), "a", "b");
    expect(gates.closedForSeconds(fcm)).toBeUndefined();
    note(fcm, throttled(90), "c");
    expect(gates.closedForSeconds(fcm)).toBe(90);
    expect(gates.closedForSeconds(apple)).toBeUndefined();
  });

  test("a device whose subscription is under another key is no refusal", () => {
    const { gates, note } = createWorld();
    note(fcm, { kind: "damaged", cause: "vapid_key_mismatch" }, "a", "b", "c", "d");
    expect(gates.closedForSeconds(fcm)).toBeUndefined();
  });
});

test("only pauses that the other side asked for are handed on, once", () => {
  const { gates, note } = createWorld();
  note(hub, { kind: "credentials", status: 401 }, "a");
  note(apple, throttled(60), "a", "b", "c");
  const pauses = gates.takePauses();
  expect([...pauses.keys()]).toEqual([apple.name]);
  expect([...gates.takePauses()]).toEqual([]);
});

test("refusals that concern single devices close nothing, and leave other refusals counted", () => {
  const { gates, note } = createWorld();
  const offline: PushOutcome = { kind: "throttled", retryAfterSeconds: 3600, isDeviceOnly: true };
  note(fcm, offline, "a", "b", "c", "d");
  expect(gates.closedForSeconds(fcm)).toBeUndefined();
  note(fcm, throttled(60), "a", "b");
  note(fcm, offline, "e");
  note(fcm, throttled(60), "c");
  expect(gates.closedForSeconds(fcm)).toBe(60);
});
