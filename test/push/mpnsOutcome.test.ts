// What each answer of MPNS means: every row of "Push Notification Service response codes for Windows Phone 8", then what
// the table does not have.
import { expect, test } from "vitest";
import { toMpnsOutcome } from "../../shared/push/mpnsOutcome.ts";
import type { PushOutcome } from "../../shared/push/sender.ts";

const now = new Date("2026-11-28T12:00:00Z");
const accepted: PushOutcome = { kind: "accepted" };
const gone: PushOutcome = { kind: "gone" };
const later = (retryAfterSeconds: number): PushOutcome => ({
  kind: "throttled",
  retryAfterSeconds,
  isDeviceOnly: true,
});

type Row = readonly [number, string | undefined, string | undefined, string | undefined, PushOutcome];

const TABLE: readonly Row[] = [
  [200, "Received", "Connected", "Active", accepted],
  [200, "Received", "TempDisconnected", "Active", accepted],
  [200, "QueueFull", "Connected", "Active", later(60)],
  [200, "QueueFull", "TempDisconnected", "Active", later(60)],
  [200, "Suppressed", "Connected", "Active", { kind: "damaged", cause: "suppressed" }],
  [200, "Suppressed", "TempDisconnected", "Active", { kind: "damaged", cause: "suppressed" }],
  [400, undefined, undefined, undefined, { kind: "message", status: 400 }],
  [401, undefined, undefined, undefined, { kind: "credentials", status: 401 }],
  [404, "Dropped", "Connected", "Expired", gone],
  [404, "Dropped", "TempDisconnected", "Expired", gone],
  [404, "Dropped", "Disconnected", "Expired", gone],
  [405, undefined, undefined, undefined, { kind: "message", status: 405 }],
  [406, "Dropped", "Connected", "Active", later(3600)],
  [406, "Dropped", "TempDisconnected", "Active", later(3600)],
  [412, "Dropped", "Inactive", undefined, later(3600)],
  [503, undefined, undefined, undefined, { kind: "transient", cause: "status 503" }],
];

const OTHERS: readonly Row[] = [
  [200, undefined, undefined, undefined, accepted], // a compatible service without the headers
  [202, "received", "connected", "active", accepted],
  [200, "Received", "Temp Disconnected", "Active", accepted],
  [200, "Received", "Disconnected", "Active", accepted],
  [200, "Dropped", "Connected", "Active", { kind: "transient", cause: "dropped" }],
  [200, "Received", "Connected", "Expired", gone],
  [412, "Dropped", "Inactive", "Expired", gone],
  [404, undefined, undefined, undefined, gone],
  [404, "Dropped", "Disconnected", "Active", gone],
  [410, undefined, undefined, undefined, { kind: "message", status: 410 }],
  [403, undefined, undefined, undefined, { kind: "credentials", status: 403 }],
  [413, undefined, undefined, undefined, { kind: "message", status: 413 }],
  [408, undefined, undefined, undefined, { kind: "transient", cause: "status 408" }],
  [429, undefined, undefined, undefined, { kind: "throttled", retryAfterSeconds: 10 }],
  [500, "Dropped", "Disconnected", "Active", { kind: "transient", cause: "status 500" }],
  [302, undefined, undefined, undefined, { kind: "transient", cause: "status 302" }],
];

const toHeaders = ([, notification, device, subscription]: Row): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [
      ["x-notificationstatus", notification],
      ["x-deviceconnectionstatus", device],
      ["x-subscriptionstatus", subscription],
    ].filter((pair): pair is [string, string] => pair[1] !== undefined),
  );

test.each([...TABLE, ...OTHERS])("R128: %i, %s, %s, %s", (...row) => {
  const [status, , , , outcome] = row;
  expect(toMpnsOutcome({ status, headers: toHeaders(row), body: "" }, now)).toEqual(outcome);
});

test("R116: only 404 and an expired subscription remove a device", () => {
  for (let status = 200; status < 600; status++)
    for (const subscription of ["Active", "Expired"] as const) {
      const { kind } = toMpnsOutcome(
        { status, headers: { "x-subscriptionstatus": subscription }, body: "" },
        now,
      );
      expect(kind === "gone", `${status} ${subscription}`).toBe(status === 404 || subscription === "Expired");
    }
});

test.each([
  [406, "120", 3600],
  [412, "7200", 7200],
  [412, "Sat, 28 Nov 2026 14:00:00 GMT", 7200],
  [429, "7", 7],
  [503, "30", 30],
  [200, "5", 60],
  [200, "600", 600],
])("a %i that asks for %s waits %i seconds", (status, retryAfter, retryAfterSeconds) => {
  const headers = {
    "retry-after": retryAfter,
    ...(status === 200 ? { "x-notificationstatus": "QueueFull" } : {}),
  };
  expect(toMpnsOutcome({ status, headers, body: "" }, now)).toMatchObject({
    kind: "throttled",
    retryAfterSeconds,
  });
});
