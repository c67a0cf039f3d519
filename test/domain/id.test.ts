// Notification IDs: their layout, bit by bit, and what they tell.
import { randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { createClock } from "../../shared/base/clock.ts";
import { createLocalKeyWrapper } from "../../shared/crypto/kek.ts";
import { createKeyring } from "../../shared/crypto/keyring.ts";
import {
  createNotificationId,
  DAY_MS,
  NotificationId,
  toDay,
  toDayName,
  toExpiryDay,
  toIdAt,
  toLivingDays,
  toPosition,
} from "../../shared/domain/id.ts";
import { UserId } from "../../shared/domain/notification.ts";
import { createHubSender } from "../../shared/push/hub.ts";
import { createSenders } from "../../shared/push/senders.ts";
import { Secret } from "../../shared/base/secret.ts";
import { createService } from "../../shared/service.ts";
import { createStoreProxy, createTestStore, silentLog, type StoreProxy } from "../helpers/store.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford's base32: no I, L, O, U
const createdAt = new Date("2026-05-01T12:34:56.789Z");
const expiresAt = new Date("2026-05-08T12:34:56.789Z");

/** The 160 bits of an ID as text, read apart from the code under test. */
const toBits = (id: string) =>
  id
    .split("")
    .map((character) => ALPHABET.indexOf(character).toString(2).padStart(5, "0"))
    .join("");

const upTo2058 = fc.date({
  min: new Date(0),
  max: new Date("2058-12-31T23:59:59.999Z"),
  noInvalidDate: true,
});

describe("the layout", () => {
  test("is a zero bit, the expiry day, the inverted creation time, and what the random source gave", () => {
    const random = Buffer.from("000102030405060708090a0b", "hex");
    const bits = toBits(createNotificationId(createdAt, expiresAt, () => random));
    expect(bits).toHaveLength(160);
    expect(bits[0]).toBe("0");
    expect(Number.parseInt(bits.slice(1, 16), 2)).toBe(Math.floor(expiresAt.getTime() / 86_400_000));
    expect(2 ** 48 - 1 - Number.parseInt(bits.slice(16, 64), 2)).toBe(createdAt.getTime());
    expect(
      BigInt(`0b${bits.slice(64)}`)
        .toString(16)
        .padStart(24, "0"),
    ).toBe(random.toString("hex"));
  });

  test("a fixed one, so that stored IDs stay readable", () => {
    // Computed by hand (Python): 20581 << 144 | (2**48 - 1 - 1777638896789) << 96 | 2**96 - 1 in Crockford's base32.
    const id = createNotificationId(createdAt, expiresAt, () => Buffer.alloc(12, 255));
    expect(id).toBe("A1JZWRGWEW5PNZZZZZZZZZZZZZZZZZZZ");
    expect(toExpiryDay(NotificationId.parse("A1JZWRGWEW5PNZZZZZZZZZZZZZZZZZZZ"))).toBe(20581);
  });

  test("holds the expiry day of any date", () => {
    fc.assert(
      fc.property(upTo2058, upTo2058, (created, expires) => {
        const id = createNotificationId(created, expires);
        expect(id).toHaveLength(32);
        expect(toExpiryDay(id)).toBe(toDay(expires));
        expect(NotificationId.parse(id)).toBe(id);
      }),
    );
  });

  test("asks the random source for 12 bytes", () => {
    const asked: number[] = [];
    createNotificationId(createdAt, expiresAt, (bytes) => {
      asked.push(bytes);
      return randomBytes(bytes);
    });
    expect(asked).toEqual([12]);
  });

  test("an expiry past what 15 bits hold makes no ID, rather than one with the reserved bit", () => {
    const last = new Date(2 ** 15 * DAY_MS - 1);
    expect(toExpiryDay(createNotificationId(createdAt, last))).toBe(2 ** 15 - 1);
    expect(() => createNotificationId(createdAt, new Date(2 ** 15 * DAY_MS))).toThrow();
  });
});

describe("days", () => {
  test.each([
    ["2026-05-01T00:00:00.000Z", "20260501"],
    ["2026-05-01T23:59:59.999Z", "20260501"],
    ["2026-05-02T00:00:00.000Z", "20260502"],
    ["2028-02-29T12:00:00.000Z", "20280229"],
    ["2026-12-31T23:59:59.999Z", "20261231"],
    ["1970-01-01T00:00:00.000Z", "19700101"],
    ["2059-09-18T00:00:00.000Z", "20590918"],
  ])("%s is on the day %s", (at, name) => {
    expect(toDayName(toDay(new Date(at)))).toBe(name);
    if (at < "2059") expect(toDayName(toExpiryDay(createNotificationId(createdAt, new Date(at))))).toBe(name);
  });

  test("names sort as days do", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 15 - 1), fc.nat(2 ** 15 - 1), (a, b) => {
        expect(toDayName(a) < toDayName(b)).toBe(a < b);
        expect(toDayName(a)).toMatch(/^\d{8}$/);
      }),
    );
  });
});

test("of one expiry day, newer ones sort first", () => {
  fc.assert(
    fc.property(upTo2058, upTo2058, upTo2058, (one, other, expires) => {
      fc.pre(one.getTime() !== other.getTime());
      const [older, newer] = one < other ? [one, other] : [other, one];
      expect(createNotificationId(newer, expires) < createNotificationId(older, expires)).toBe(true);
    }),
  );
});

describe("positions", () => {
  const random = fc.uint8Array({ minLength: 12, maxLength: 12 });
  const anyId = fc
    .record({ created: upTo2058, expires: upTo2058, bytes: random })
    .map(({ created, expires, bytes }) => createNotificationId(created, expires, () => bytes));

  test("are the 144 bits after the day, and lead back to the ID", () => {
    fc.assert(
      fc.property(anyId, (id) => {
        const position = toPosition(id);
        expect(position).toMatch(/^[0-9A-F][0-9A-HJKMNP-TV-Z]{28}$/);
        // The first of its 29 characters holds four bits.
        expect(toBits(position).slice(1)).toBe(toBits(id).slice(16));
        expect(toIdAt(position, toExpiryDay(id))).toBe(id);
      }),
    );
  });

  test("sort by creation time, the newest first, whatever days IDs expire on", () => {
    fc.assert(
      fc.property(upTo2058, upTo2058, upTo2058, upTo2058, (one, other, expires, otherExpires) => {
        fc.pre(one.getTime() !== other.getTime());
        const positions = [createNotificationId(one, expires), createNotificationId(other, otherExpires)].map(
          toPosition,
        );
        const [first = "", second = ""] = positions;
        expect(first < second).toBe(one > other);
      }),
    );
  });

  test("of one day sort as its rows do", () => {
    fc.assert(
      fc.property(upTo2058, upTo2058, upTo2058, random, random, (one, other, expires, a, b) => {
        const first = createNotificationId(one, expires, () => a);
        const second = createNotificationId(other, expires, () => b);
        expect(toPosition(first) < toPosition(second)).toBe(first < second);
        expect(toPosition(first) === toPosition(second)).toBe(first === second);
      }),
    );
  });

  test("stand on every day", () => {
    fc.assert(
      fc.property(anyId, fc.nat(2 ** 15 - 1), (id, day) => {
        const there = toIdAt(toPosition(id), day);
        expect(toExpiryDay(there)).toBe(day);
        expect(toPosition(there)).toBe(toPosition(id));
      }),
    );
  });
});

test("what lives can expire from today on, and a day longer than anything lives", () => {
  const now = new Date("2026-05-01T23:59:59.999Z");
  const { first, last } = toLivingDays(now);
  expect([toDayName(first), toDayName(last)]).toEqual(["20260501", "20260530"]);
});

test("R76: 10,000 of one moment differ, each in about half of its 96 random bits", () => {
  const ids = Array.from({ length: 10_000 }, () => createNotificationId(createdAt, expiresAt));
  expect(new Set(ids).size).toBe(10_000);
  const ones = Array.from({ length: 160 }, () => 0);
  for (const id of ids)
    for (const [i, bit] of toBits(id).split("").entries()) ones[i] = (ones[i] ?? 0) + Number(bit);
  // Eight standard deviations of 10,000 fair bits: a test that fails by chance once in 10^15.
  for (const count of ones.slice(64)) expect(Math.abs(count - 5000)).toBeLessThan(400);
  for (const count of ones.slice(0, 64)) expect([0, 10_000]).toContain(count);
});

describe("R72: what is no ID", () => {
  const id = createNotificationId(createdAt, expiresAt);

  test.each([
    "",
    id.slice(1),
    `${id}0`,
    ` ${id}`,
    `${id}\n`,
    `${id}\0`,
    id.toLowerCase(),
    `${id.slice(0, 31)}I`,
    `${id.slice(0, 31)}L`,
    `${id.slice(0, 31)}O`,
    `${id.slice(0, 31)}U`,
    `${id.slice(0, 31)}/`,
    `${id.slice(0, 31)}'`,
    `${id.slice(0, 30)}%0`,
    `${id.slice(0, 31)}\u0661`,
    `${id.slice(0, 31)}\ud800`,
    "..".padEnd(32, "."),
    "x".repeat(4096),
    "00000000-0000-0000-0000-000000000000",
    1,
    null,
    [id],
    { length: 32 },
  ])("%j", (value) => {
    expect(NotificationId.safeParse(value).success).toBe(false);
  });

  test.each("GHJKMNPQRSTVWXYZ".split(""))("the reserved first bit set: %s…", (first) => {
    expect(NotificationId.safeParse(first + id.slice(1)).success).toBe(false);
  });

  test("any text of the alphabet without that bit is one, and names some day", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9A-F][0-9A-HJKMNP-TV-Z]{31}$/), (text) => {
        const day = toExpiryDay(NotificationId.parse(text));
        expect(day).toBe(Number.parseInt(toBits(text).slice(0, 16), 2));
        expect(toDayName(day)).toMatch(/^\d{8}$/);
      }),
    );
  });
});

describe("an ID dated where no row can stand", () => {
  let proxy: StoreProxy | undefined;
  afterEach(() => proxy?.close());

  /** The service over Azurite, at noon of the first of May; what it asks of storage is seen. */
  async function createWatchedService() {
    proxy = await createStoreProxy();
    const standing = createClock(silentLog, () => Date.parse("2026-05-01T12:00:00Z"));
    const clock = { ...standing, observe: () => undefined }; // Azurite lives in another time
    const { store, listTables } = createTestStore({ connectionString: proxy.connectionString, clock });
    const wrapper = createLocalKeyWrapper([new Secret<Uint8Array>(randomBytes(32))]);
    const alertText = { defaultDisplay: "silent", title: { text: "t" }, body: { text: "b" } } as const;
    const hub = createHubSender({
      connectionString: new Secret("Endpoint=sb://hub.invalid/;SharedAccessKeyName=n;SharedAccessKey=k"),
      hubName: "hub",
      alertText,
      allowLoopback: false,
      clock,
    });
    const service = createService({
      store,
      keyring: createKeyring({ rows: store, wrapper, clock }),
      senders: createSenders([hub]),
      clock,
      alertText,
      sleep: () => Promise.resolve(),
      limits: {
        defaultTtlSeconds: 60,
        maxPayloadBytes: 1000,
        maxInstallations: 5,
        installationTtlDays: 1,
        requireIdempotencyKey: false,
      },
    });
    const getOf = (days: number) => {
      const at = new Date(clock.now().getTime() + days * DAY_MS);
      const id = createNotificationId(clock.now(), at);
      return service.get(id, UserId.parse("alice"), {
        log: silentLog,
        signal: new AbortController().signal,
      });
    };
    return { getOf, listTables, requests: proxy.requests };
  }

  test.each([-20_000, -365, -2, -1, 30, 31, 365, 12_000])(
    "%i days from today is unknown, and storage is not asked",
    async (days) => {
      const { getOf, requests } = await createWatchedService();
      expect(await getOf(days)).toEqual({ ok: false, error: { reason: "notification_unknown" } });
      expect(requests).toEqual([]);
    },
  );

  test.each([0, 1, 28])("%i days from today is looked for, and no table is made for it", async (days) => {
    const { getOf, requests, listTables } = await createWatchedService();
    expect(await getOf(days)).toEqual({ ok: false, error: { reason: "notification_unknown" } });
    expect(requests.some(({ path }) => path.includes("notifications"))).toBe(true);
    expect(await listTables()).toEqual(["keys"]);
  });
});
