// The keys in use, over rows in Azurite or in memory where a race has to be held in its hands.
import { createSecretKey, randomBytes } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import { type Clock, createClock } from "../../shared/base/clock.ts";
import { createLocalKeyWrapper, type KeyWrapper, type WrappedKey } from "../../shared/crypto/kek.ts";
import { createKeyring, type KeyRows } from "../../shared/crypto/keyring.ts";
import { open, seal, toContext } from "../../shared/crypto/seal.ts";
import { withDeadline } from "../../shared/base/deadline.ts";
import { toDay, toDayName } from "../../shared/domain/id.ts";
import { Secret } from "../../shared/base/secret.ts";
import { createTestStore, silentLog } from "../helpers/store.ts";

const never = new AbortController().signal;
const HOUR_MS = 3_600_000;
const context = toContext("test");
const wrapperOf = (...keks: readonly Uint8Array[]) =>
  createLocalKeyWrapper(keks.map((kek) => new Secret<Uint8Array>(kek)));

/** A clock that stands until it is moved. */
function createStandingClock(at = Date.parse("2026-05-01T12:00:00Z")) {
  const time = { ms: at };
  const clock: Clock = createClock(silentLog, () => time.ms);
  return { time, clock, today: toDay(clock.now()) };
}

/** Rows in memory that count what is asked of them. */
function createMemoryRows() {
  const stored = new Map<string, WrappedKey>();
  const calls: string[] = [];
  const rows: KeyRows = {
    readKey: (kind, name) => {
      calls.push(`read ${kind} ${name}`);
      const found = stored.get(`${kind} ${name}`);
      return Promise.resolve(found && { ...found, etag: Buffer.from(found.wrapped).toString("hex") });
    },
    insertKey: (kind, name, key) => {
      calls.push(`insert ${kind} ${name}`);
      const winner = stored.get(`${kind} ${name}`) ?? key;
      stored.set(`${kind} ${name}`, winner);
      return Promise.resolve(winner);
    },
    replaceKey: (kind, name, { key, etag }) => {
      calls.push(`replace ${kind} ${name}`);
      const before = stored.get(`${kind} ${name}`);
      if (before === undefined || Buffer.from(before.wrapped).toString("hex") !== etag)
        return Promise.resolve("changed");
      stored.set(`${kind} ${name}`, key);
      return Promise.resolve("written");
    },
  };
  return { stored, calls, rows };
}

function createMemoryKeyring(wrapper: KeyWrapper = wrapperOf(randomBytes(32))) {
  const memory = createMemoryRows();
  const standing = createStandingClock();
  const keyring = createKeyring({ rows: memory.rows, wrapper, clock: standing.clock });
  return { ...memory, ...standing, wrapper, keyring };
}

const createTen = (kek = randomBytes(32)) => {
  const { prefix, clock, rawTable } = createTestStore();
  const keyrings = Array.from({ length: 10 }, () =>
    createKeyring({ rows: createTestStore({ prefix }).store, wrapper: wrapperOf(kek), clock }),
  );
  return { keyrings, rawTable, today: toDay(clock.now()) };
};

describe("on one store, ten keyrings at once", () => {
  test("make one day key, which opens for all what each of them sealed", async () => {
    const { keyrings, rawTable, today } = createTen();
    const keys = await Promise.all(keyrings.map((keyring) => keyring.makeDayKey(today + 7, never)));
    for (const key of keys) {
      const sealed = seal(key, context, Buffer.from("x"));
      for (const other of keys) expect(open(other, context, sealed)?.toString()).toBe("x");
    }
    const rows = [];
    for await (const row of rawTable("keys").listEntities()) rows.push(row);
    expect(rows.map((row) => [row.partitionKey, row.rowKey])).toEqual([["day", toDayName(today + 7)]]);
  });

  test("make one root key, and so name users, channels and topics alike", async () => {
    const { keyrings } = createTen();
    const all = await Promise.all(keyrings.map((keyring) => keyring.purposes(never)));
    expect(new Set(all.map((purposes) => purposes.toRecipientKey("alice"))).size).toBe(1);
    expect(new Set(all.map((purposes) => purposes.toChannelKey("apns", "aa"))).size).toBe(1);
    expect(new Set(all.map((purposes) => purposes.toWireTopic("t"))).size).toBe(1);
    const [first, ...others] = all.map((purposes) => purposes.channelSealingKey);
    for (const other of others) expect(first?.equals(other)).toBe(true);
  });

  test("find what the others made, and make nothing by looking", async () => {
    const { keyrings, today } = createTen();
    const [maker, ...readers] = keyrings;
    for (const reader of readers) expect(await reader.findDayKey(today + 1, never)).toBeUndefined();
    const made = await maker?.makeDayKey(today + 1, never);
    for (const reader of readers)
      expect(made && (await reader.findDayKey(today + 1, never))?.equals(made)).toBe(true);
  });
});

describe("day keys", () => {
  test("of different days are different, and none lies in the rows as it is", async () => {
    const { keyring, stored, today } = createMemoryKeyring();
    const keys = await Promise.all([0, 1, 2].map((ahead) => keyring.makeDayKey(today + ahead, never)));
    const texts = keys.map((key) => key.export().toString("hex"));
    expect(new Set(texts).size).toBe(3);
    expect(keys.map((key) => key.symmetricKeySize)).toEqual([32, 32, 32]);
    for (const { wrapped } of stored.values())
      for (const text of texts) expect(Buffer.from(wrapped).toString("hex")).not.toContain(text.slice(0, 16));
  });

  test.each([1, 2, 400])("R103: none is made for a day that was over %i days ago", async (days) => {
    const { keyring, calls, stored, today } = createMemoryKeyring();
    await expect(keyring.makeDayKey(today - days, never)).rejects.toThrow("a day that is over");
    expect(await keyring.findDayKey(today - days, never)).toBeUndefined();
    expect(stored.size).toBe(0);
    expect(calls.filter((call) => call.startsWith("insert"))).toEqual([]);
  });

  test("today's is made until midnight and not after it, kept or not", async () => {
    const { keyring, stored, time, today } = createMemoryKeyring();
    time.ms = (today + 1) * 86_400_000 - 1;
    await keyring.makeDayKey(today, never);
    stored.clear();
    time.ms += 1;
    await expect(keyring.makeDayKey(today, never)).rejects.toThrow("a day that is over");
    expect(await keyring.findDayKey(today, never)).toBeDefined(); // who still has to read may
    expect(stored.size).toBe(0);
  });

  test("a maker that joins readers makes its key, whatever they do when they find none", async () => {
    const { keyring, today } = createMemoryKeyring();
    const found: unknown[] = [];
    const readAgain = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) found.push(await keyring.findDayKey(today, never));
    };
    const readers = [1, 2, 3, 4].map((times) => readAgain(times));
    const made = await keyring.makeDayKey(today, never);
    await Promise.all(readers);
    expect(made.symmetricKeySize).toBe(32);
    expect(found.length).toBe(10);
  });

  test("one that is made while a reader looks is found by the next look", async () => {
    const { keyring, today } = createMemoryKeyring();
    const [none, made] = await Promise.all([
      keyring.findDayKey(today, never),
      keyring.makeDayKey(today, never),
    ]);
    expect(none).toBeUndefined();
    expect((await keyring.findDayKey(today, never))?.equals(made)).toBe(true);
  });
});

describe("what is kept", () => {
  test("100 callers at once are one read and one unwrapping", async () => {
    const { keyring, calls, today } = createMemoryKeyring();
    const keys = await Promise.all(Array.from({ length: 100 }, () => keyring.makeDayKey(today, never)));
    expect(calls).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
  });

  test("is used for an hour and then read anew, never longer", async () => {
    const { keyring, calls, time, today } = createMemoryKeyring();
    await keyring.makeDayKey(today, never);
    await keyring.purposes(never);
    const before = calls.length;
    time.ms += HOUR_MS;
    await keyring.findDayKey(today, never);
    await keyring.purposes(never);
    expect(calls).toHaveLength(before);
    time.ms += 1;
    await keyring.findDayKey(today, never);
    expect(calls).toHaveLength(before + 1);
    await keyring.purposes(never);
    expect(calls).toHaveLength(before + 2);
  });

  test("does not grow old by being used", async () => {
    const { keyring, calls, time, today } = createMemoryKeyring();
    await keyring.makeDayKey(today, never);
    const before = calls.length;
    for (let minutes = 0; minutes <= 61; minutes++) {
      await keyring.findDayKey(today, never);
      time.ms += 60_000;
    }
    expect(calls).toHaveLength(before + 1);
  });

  test("is not trusted once our clock was put back", async () => {
    const { keyring, calls, time, today } = createMemoryKeyring();
    await keyring.makeDayKey(today, never);
    const before = calls.length;
    time.ms -= 1;
    await keyring.findDayKey(today, never);
    expect(calls).toHaveLength(before + 1);
  });

  test("a key destroyed with its day is gone for everyone within the hour", async () => {
    const { keyring, stored, time, today } = createMemoryKeyring();
    await keyring.makeDayKey(today, never);
    stored.clear();
    time.ms += HOUR_MS + 1;
    expect(await keyring.findDayKey(today, never)).toBeUndefined();
  });

  test("neither a failure nor a key that is not there is kept", async () => {
    const memory = createMemoryRows();
    let isDown = true;
    const readKey: KeyRows["readKey"] = (kind, name, signal) =>
      isDown ? Promise.reject(new Error("down")) : memory.rows.readKey(kind, name, signal);
    const { clock, today } = createStandingClock();
    const keyring = createKeyring({
      rows: { ...memory.rows, readKey },
      wrapper: wrapperOf(randomBytes(32)),
      clock,
    });
    await expect(keyring.purposes(never)).rejects.toThrow("down");
    await expect(keyring.makeDayKey(today, never)).rejects.toThrow("down");
    isDown = false;
    expect((await keyring.purposes(never)).toRecipientKey("a")).toHaveLength(43);
    expect(await keyring.findDayKey(today, never)).toBeUndefined();
    const made = await keyring.makeDayKey(today, never);
    expect((await keyring.findDayKey(today, never))?.equals(made)).toBe(true);
  });
});

/** Rows whose reads wait until they are let go. */
function createHeldKeyring() {
  const memory = createMemoryRows();
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
  const readKey: KeyRows["readKey"] = async (kind, name, signal) => {
    await held;
    return memory.rows.readKey(kind, name, signal);
  };
  const { clock, today } = createStandingClock();
  const rows = { ...memory.rows, readKey };
  const keyring = createKeyring({ rows, wrapper: wrapperOf(randomBytes(32)), clock });
  return { keyring, letGo, today, calls: memory.calls };
}

describe("waiting", () => {
  test("ends with the caller's signal, and only for that caller", async () => {
    const { keyring, letGo, today, calls } = createHeldKeyring();
    const impatient = new AbortController();
    const given = keyring.makeDayKey(today, impatient.signal);
    const patient = keyring.makeDayKey(today, never);
    const reason = new Error("the deadline");
    impatient.abort(reason);
    await expect(given).rejects.toBe(reason);
    letGo();
    expect((await patient).symmetricKeySize).toBe(32);
    expect(calls).toHaveLength(2);
  });

  test("ends by a deadline of the load's own when storage never answers, which is not kept", async () => {
    const memory = createMemoryRows();
    const load = new AbortController();
    const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(load.signal);
    const asked = Promise.withResolvers<void>();
    const readKey: KeyRows["readKey"] = (_kind, _name, signal) => {
      asked.resolve();
      return withDeadline(new Promise<never>(() => undefined), signal);
    };
    const rows = { ...memory.rows, readKey };
    const { clock, today } = createStandingClock();
    const keyring = createKeyring({ rows, wrapper: wrapperOf(randomBytes(32)), clock });
    const waiting = [keyring.makeDayKey(today, never), keyring.findDayKey(today, never)];
    await asked.promise;
    const reason = new Error("the load's deadline");
    load.abort(reason);
    for (const caller of waiting) await expect(caller).rejects.toBe(reason);
    expect(timeout.mock.calls.flat().every((ms) => ms < 5_000)).toBe(true); // a get has 5 s in all (R96)

    timeout.mockRestore();
    rows.readKey = memory.rows.readKey;
    expect((await keyring.makeDayKey(today, never)).symmetricKeySize).toBe(32);
  });

  test("does not begin when the signal is aborted already, but what is kept stays", async () => {
    const { keyring, today } = createMemoryKeyring();
    await keyring.makeDayKey(today, never);
    await expect(keyring.findDayKey(today, AbortSignal.abort(new Error("over")))).rejects.toThrow("over");
    expect(await keyring.findDayKey(today, never)).toBeDefined();
  });
});

const createWith = (rows: KeyRows, ...keks: readonly Uint8Array[]) =>
  createKeyring({ rows, wrapper: wrapperOf(...keks), clock: createStandingClock().clock });

describe("R141: key-encryption keys", () => {
  const [older, newer] = [randomBytes(32), randomBytes(32)] as const;
  test("rolled, open what the older one wrapped while it is listed; without it those rows alone fail", async () => {
    const { rows } = createMemoryRows();
    const { today } = createStandingClock();
    const before = createWith(rows, older);
    const made = await before.makeDayKey(today, never);
    const recipientKey = (await before.purposes(never)).toRecipientKey("alice");

    const rolled = createWith(rows, newer, older);
    expect((await rolled.findDayKey(today, never))?.equals(made)).toBe(true);
    expect((await rolled.purposes(never)).toRecipientKey("alice")).toBe(recipientKey);
    const tomorrows = await rolled.makeDayKey(today + 1, never);

    const after = createWith(rows, newer);
    expect((await after.findDayKey(today + 1, never))?.equals(tomorrows)).toBe(true);
    await expect(after.findDayKey(today, never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
  });

  test("that do not fit never lead to a new key in the place of the old one", async () => {
    const { rows, stored } = createMemoryRows();
    const { today } = createStandingClock();
    await createWith(rows, older).makeDayKey(today, never);
    await createWith(rows, older).purposes(never);
    const before = new Map(stored);
    const wrong = createWith(rows, newer);
    await expect(wrong.makeDayKey(today, never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
    await expect(wrong.purposes(never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
    expect(stored).toEqual(before);
  });
});

describe("P6: who can write to the keys table, but does not know the key-encryption key, sets no key of his own", () => {
  // A wrapper that is less strict than ours: the keyring itself looks at what comes out.
  const lenient: KeyWrapper = {
    ...wrapperOf(Buffer.alloc(32, 1)),
    unwrap: ({ wrapped }) => Promise.resolve(wrapped),
  };

  test.each([
    ["ours", 0, wrapperOf(Buffer.alloc(32, 1))],
    ["a lenient one", 0, lenient],
    ["a lenient one", 16, lenient],
    ["a lenient one", 31, lenient],
    ["a lenient one", 33, lenient],
  ])("through %s: %i bytes in a row's place", async (_, length, wrapper) => {
    const { keyring, stored, today } = createMemoryKeyring(wrapper);
    const { kekId } = await wrapper.wrap(randomBytes(32), never);
    stored.set("root v1", { kekId, wrapped: Buffer.alloc(length) });
    stored.set(`day ${toDayName(today)}`, { kekId, wrapped: Buffer.alloc(length) });
    await expect(keyring.purposes(never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
    await expect(keyring.makeDayKey(today, never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
    await expect(keyring.findDayKey(today, never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
  });
});

const rootOf = async (root: Uint8Array) => {
  const { rows, stored } = createMemoryRows();
  const wrapper = wrapperOf(Buffer.alloc(32, 7));
  stored.set("root v1", await wrapper.wrap(root, never));
  return createKeyring({ rows, wrapper, clock: createStandingClock().clock }).purposes(never);
};

describe("purpose keys", () => {
  const root = Buffer.from(Array.from({ length: 32 }, (_, i) => i));

  // Computed apart from this code, by Python's hmac from RFC 5869 and RFC 2104: a change here strands stored rows.
  test("name alike for ever", async () => {
    const purposes = await rootOf(root);
    expect(purposes.toRecipientKey("alice")).toBe("S-YpYWFbl2i4lP7f0Ytlt7w9ysa3MHTJ2xglGN7Re6k");
    expect(purposes.toChannelKey("apns", "00ff")).toBe(
      "af508c3f24e0a78cca79a9d20736cf57ddf44f44be0117992c266c5f25ab6b5e",
    );
    expect(purposes.toWireTopic("balance")).toBe("VZ_EaYvVRKF1ZDJbtPgX2eQLdYVv3-q8");
    expect(purposes.channelSealingKey.export().toString("hex")).toBe(
      "a10346c585b9754b72119060c011e9ce7026fb2933d56fa918736b81386e1ad0",
    );
    expect(purposes.cursorsKey.export().toString("hex")).toBe(
      "76d01a19fcf16ad8755ad83eabba72bd379d067d75fd7865d214200acc72881b",
    );
  });

  test("have the forms that rows, tags and headers take", async () => {
    const purposes = await rootOf(randomBytes(32));
    for (const text of ["a", "A", "é/\\#?%'\0", "x".repeat(256)]) {
      expect(purposes.toRecipientKey(text)).toMatch(/^[A-Za-z0-9_-]{43}$/);
      expect(purposes.toChannelKey("wns", text)).toMatch(/^[0-9a-f]{64}$/);
      expect(purposes.toWireTopic(text)).toMatch(/^[A-Za-z0-9_-]{32}$/);
    }
  });

  test("R90: tell apart what differs in anything", async () => {
    const purposes = await rootOf(root);
    const users = ["A", "a", "a.b", "a_b", "\u00e9", "e\u0301", "a ", ""];
    expect(new Set(users.map((user) => purposes.toRecipientKey(user))).size).toBe(users.length);
    const channels = [
      purposes.toChannelKey("apns", "a"),
      purposes.toChannelKey("wns", "a"),
      purposes.toChannelKey("apnsa", ""),
      purposes.toChannelKey("apn", "sa"),
      purposes.toChannelKey("apns", "A"),
    ];
    expect(new Set(channels).size).toBe(channels.length);
  });

  test("of another root, or for another purpose, name differently", async () => {
    const [one, other] = [await rootOf(root), await rootOf(randomBytes(32))];
    expect(one.toRecipientKey("alice")).not.toBe(other.toRecipientKey("alice"));
    const recipient = Buffer.from(one.toRecipientKey("x"), "base64url");
    const topic = Buffer.from(one.toWireTopic("x"), "base64url");
    expect(recipient.subarray(0, 24).equals(topic)).toBe(false);
    expect(one.channelSealingKey.equals(createSecretKey(root))).toBe(false);
  });
});

describe("a wrapped key in another's row", () => {
  test("R98: a day's key that is moved to another day is another key there", async () => {
    const { keyring, stored, today } = createMemoryKeyring();
    const original = await keyring.makeDayKey(today, never);
    const wrapped = stored.get(`day ${toDayName(today)}`);
    if (wrapped === undefined) throw new Error("nothing was stored");
    stored.set(`day ${toDayName(today + 1)}`, wrapped);
    expect((await keyring.findDayKey(today + 1, never))?.equals(original)).toBe(false);
  });

  // Computed apart from this code, by Python's hmac from RFC 5869.
  test("a day's key is what its secret and its day make it", async () => {
    const { rows, stored } = createMemoryRows();
    const wrapper = wrapperOf(Buffer.alloc(32, 7));
    stored.set(
      "day 20260508",
      await wrapper.wrap(Buffer.from(Array.from({ length: 32 }, (_, i) => i)), never),
    );
    const { clock, today } = createStandingClock();
    const key = await createKeyring({ rows, wrapper, clock }).findDayKey(today + 7, never);
    expect(key?.export().toString("hex")).toBe(
      "9732268a3b9e41c68bc1c3d481ba20f4c39dd11a901a22e47c5509c60de2057e",
    );
  });
});

describe("R141: when a new key-encryption key comes first", () => {
  const [first, second] = [randomBytes(32), randomBytes(32)];

  test("the root key is wrapped anew, once, and names users as before without the old one", async () => {
    const memory = createMemoryRows();
    const { clock } = createStandingClock();
    const keyringOf = (...keks: readonly Uint8Array[]) =>
      createKeyring({ rows: memory.rows, wrapper: wrapperOf(...keks), clock });
    const before = (await keyringOf(first).purposes(never)).toRecipientKey("alice");
    expect(await keyringOf(first).wrapRootAnew(never)).toBe(false);

    const both = [keyringOf(second, first), keyringOf(second, first)];
    expect((await both[0]?.purposes(never))?.toRecipientKey("alice")).toBe(before);
    const outcomes = await Promise.all(both.map((keyring) => keyring.wrapRootAnew(never)));
    expect(outcomes.filter((hasWrapped) => hasWrapped)).toHaveLength(1);
    expect(await keyringOf(second, first).wrapRootAnew(never)).toBe(false);

    expect((await keyringOf(second).purposes(never)).toRecipientKey("alice")).toBe(before);
    await expect(keyringOf(first).purposes(never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
  });

  test("new days are wrapped by it, and old ones open while the old one is listed", async () => {
    const memory = createMemoryRows();
    const { clock, today } = createStandingClock();
    const keyringOf = (...keks: readonly Uint8Array[]) =>
      createKeyring({ rows: memory.rows, wrapper: wrapperOf(...keks), clock });
    const old = await keyringOf(first).makeDayKey(today, never);
    expect((await keyringOf(second, first).makeDayKey(today, never)).equals(old)).toBe(true);
    await keyringOf(second, first).makeDayKey(today + 1, never);
    expect(await keyringOf(second).findDayKey(today + 1, never)).toBeDefined();
    await expect(keyringOf(second).findDayKey(today, never)).rejects.toMatchObject({
      code: "KEY_UNAVAILABLE",
    });
  });

  test("nothing is wrapped anew where nothing is stored", async () => {
    const { keyring, calls } = createMemoryKeyring();
    expect(await keyring.wrapRootAnew(never)).toBe(false);
    expect(calls).toEqual(["read root v1"]);
  });
});
