// P4: one key stands for one notification, also around midnight, when instances disagree on which day it is.
import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { createClock } from "../../shared/base/clock.ts";
import type { ClaimKey } from "../../shared/crypto/keyring.ts";
import { createNotificationId } from "../../shared/domain/id.ts";
import { createClaims } from "../../shared/sending/idempotency.ts";
import { createTestStore, silentLog } from "../helpers/store.ts";

const never = new AbortController().signal;
const midnight = Date.UTC(2026, 4, 2);

/** Instances over one store, each with a clock that says so many seconds after midnight. */
function createWorld() {
  const { store } = createTestStore();
  const key = randomBytes(32).toString("hex") as ClaimKey;
  const claim = async (seconds: number) => {
    const at = new Date(midnight + seconds * 1000);
    const clock = { ...createClock(silentLog, () => at.getTime()), observe: () => undefined };
    const expiresAt = new Date(at.getTime() + 3_600_000);
    const draft = { id: createNotificationId(at, expiresAt), createdAt: at, expiresAt };
    const claimed = await createClaims({ store, clock })({ key, fingerprint: "f", draft }, never);
    return claimed.ok ? { id: claimed.value.draft.id, isNew: claimed.value.isNew } : claimed.error.reason;
  };
  return { claim };
}

test.each([
  ["before midnight, then after it", [-5, 5, 700, 86_000]],
  ["just after midnight, then later that day", [5, 30, 599, 601, 86_399]],
  ["after the first minutes of the day, by an instance that is behind too", [601, 590, 605]],
])("a key used %s is one notification", async (_what, times) => {
  const { claim } = createWorld();
  const [first = 0, ...later] = times;
  const claimed = await claim(first);
  expect(claimed).toMatchObject({ isNew: true });
  for (const seconds of later)
    expect(await claim(seconds), String(seconds)).toEqual({ ...Object(claimed), isNew: false });
});

test("an instance that is still in yesterday when others have claimed the key is told to come back", async () => {
  const { claim } = createWorld();
  await claim(5);
  expect(await claim(-5)).toBe("request_in_progress");
});

test.each([
  [-2, 2],
  [2, -2],
  [598, 602],
])("instances at %i and %i seconds that race for a key end with one notification", async (a, b) => {
  for (let round = 0; round < 5; round++) {
    const { claim } = createWorld();
    const all = await Promise.all([claim(a), claim(b), claim(a), claim(b)]);
    const settled = [...all, await claim(b > a ? b : a)];
    const ids = new Set(settled.flatMap((one) => (typeof one === "string" ? [] : [one.id])));
    expect(ids.size, JSON.stringify(settled)).toBe(1);
  }
});

test("R86: a day later the key is free", async () => {
  const { claim } = createWorld();
  await claim(3600);
  expect(await claim(86_400 + 3_605)).toMatchObject({ isNew: true });
});
