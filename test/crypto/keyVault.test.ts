// Key-encryption keys in a vault, through the SDK and real TLS, against a double that speaks the vault's REST calls.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TokenCredential } from "@azure/identity";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseKeyUrl } from "../../shared/config/kek.ts";
import { createKeyVaultWrapper } from "../../shared/crypto/keyVault.ts";
import { createKeyring } from "../../shared/crypto/keyring.ts";
import { toDay } from "../../shared/domain/id.ts";
import { createApi } from "../helpers/api.ts";
import { createKeyVault, type KeyVaultDouble, VAULT_TOKEN } from "../helpers/keyVault.ts";
import { createTestStore } from "../helpers/store.ts";

const never = new AbortController().signal;
const scopes: string[] = [];
const credential: TokenCredential = {
  getToken: (scope) => {
    scopes.push(String(scope));
    return Promise.resolve({ token: VAULT_TOKEN, expiresOnTimestamp: Date.now() + 3_600_000 });
  },
};

let vault: KeyVaultDouble;

beforeAll(async () => {
  vault = await createKeyVault();
});
afterAll(() => vault.close());
beforeEach(() => vault.fail(undefined));

const createWrapper = (changes: Partial<Parameters<typeof createKeyVaultWrapper>[0]> = {}) =>
  createKeyVaultWrapper({ key: toVaultKey(), credential, allowLoopback: true, ca: vault.ca, ...changes });

function toVaultKey() {
  const key = parseKeyUrl(vault.keyUrl);
  if (key === undefined) throw new Error("the double's key has no address");
  return key;
}

/** What was asked of the vault with a token, as method and last part of the path. */
const askedSince = (before: number) =>
  vault.requests
    .slice(before)
    .filter(({ isAuthorized }) => isAuthorized)
    .map(({ method, path }) => `${method} ${path.split("/").at(-1) ?? ""}`);

test("a key comes back from the vault as it went in, wrapped otherwise each time", async () => {
  const wrapper = createWrapper();
  const key = randomBytes(32);
  const [first, second] = [await wrapper.wrap(key, never), await wrapper.wrap(key, never)];
  expect(first.kekId).toBe(await wrapper.newestKekId(never));
  expect(Buffer.from(first.wrapped)).not.toEqual(Buffer.from(second.wrapped));
  expect(Buffer.from(first.wrapped).includes(key)).toBe(false);
  expect(Buffer.from(await wrapper.unwrap(first, never))).toEqual(key);
  expect(new Set(scopes)).toEqual(new Set(["https://vault.azure.net/.default"]));
});

test("unwrapping is one call, which names the version", async () => {
  const wrapper = createWrapper();
  const wrapped = await wrapper.wrap(randomBytes(32), never);
  const before = vault.requests.length;
  await wrapper.unwrap(wrapped, never);
  expect(askedSince(before)).toEqual(["POST unwrapkey"]);
});

test("R141: a new version wraps, and the old one opens what it wrapped, also past its expiry", async () => {
  const wrapper = createWrapper();
  const key = randomBytes(32);
  const old = await wrapper.wrap(key, never);
  vault.rotate();
  const renewed = await wrapper.wrap(key, never);
  expect(renewed.kekId).not.toBe(old.kekId);
  vault.expire(old.kekId);
  expect(Buffer.from(await wrapper.unwrap(old, never))).toEqual(key);
  vault.disable(old.kekId);
  await expect(wrapper.unwrap(old, never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
  expect(Buffer.from(await wrapper.unwrap(renewed, never))).toEqual(key);
});

test.each([
  ["another vault's", (id: string) => id.replace(/127\.0\.0\.1:\d+/, "127.0.0.1:1")],
  ["another name's", (id: string) => id.replace("payload-kek", "other")],
  ["without a version", (id: string) => id.slice(0, id.lastIndexOf("/"))],
  ["with more behind", (id: string) => `${id}/../../secrets/x`],
  ["with a version that is none", (id: string) => `${id.slice(0, -32)}..`],
  ["a local one's", () => "local:0123456789abcdef"],
])("a row that names a key of %s is refused, and nobody is asked with our token", async (_what, change) => {
  const wrapper = createWrapper();
  const wrapped = await wrapper.wrap(randomBytes(32), never);
  const before = vault.requests.length;
  const forged = { ...wrapped, kekId: change(wrapped.kekId) };
  await expect(wrapper.unwrap(forged, never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
  expect(vault.requests.length).toBe(before);
});

test("what was altered is not unwrapped", async () => {
  const wrapper = createWrapper();
  const { kekId, wrapped } = await wrapper.wrap(randomBytes(32), never);
  const altered = Buffer.from(wrapped).map((byte, i) => (i === 9 ? byte ^ 1 : byte));
  for (const bytes of [altered, Buffer.alloc(0), Buffer.from(wrapped).subarray(1)])
    await expect(wrapper.unwrap({ kekId, wrapped: bytes }, never)).rejects.toMatchObject({
      code: "KEY_UNAVAILABLE",
    });
});

test("a vault whose certificate nobody vouches for gets no token", async () => {
  const before = vault.requests.length;
  const wrapper = createKeyVaultWrapper({ key: toVaultKey(), credential, allowLoopback: true });
  await expect(wrapper.wrap(randomBytes(32), never)).rejects.toMatchObject({ code: "KEY_UNAVAILABLE" });
  expect(vault.requests.length).toBe(before);
});

test("a challenge for another resource is not answered where loopback is not allowed", async () => {
  const before = vault.requests.length;
  await expect(createWrapper({ allowLoopback: false }).wrap(randomBytes(32), never)).rejects.toMatchObject({
    code: "KEY_UNAVAILABLE",
  });
  expect(askedSince(before)).toEqual([]);
});

test.each([500, 403, 404] as const)("a vault that answers %d leaves the key unavailable", async (status) => {
  vault.fail(status);
  await expect(createWrapper().wrap(randomBytes(32), never)).rejects.toMatchObject({
    code: "KEY_UNAVAILABLE",
  });
});

describe("a vault that refuses is not asked by each call", () => {
  const unavailable = { code: "KEY_UNAVAILABLE" };

  test.each([403, 404, 429, 503] as const)("1,000 calls and an answer of %d", async (status) => {
    const time = { ms: 1_000_000 };
    const wrapper = createWrapper({ nowMs: () => time.ms });
    const key = randomBytes(32);
    const wrapped = await wrapper.wrap(key, never);
    vault.fail(status);
    const before = vault.requests.length;
    for (let i = 0; i < 500; i++) {
      await expect(wrapper.unwrap(wrapped, never)).rejects.toMatchObject(unavailable);
      await expect(wrapper.wrap(key, never)).rejects.toMatchObject(unavailable);
    }
    // One try of each kind, each with the SDK's two retries at most.
    const asked = vault.requests.length - before;
    expect(asked).toBeLessThanOrEqual(6);

    // After a second each kind is tried once more; the next pause is two seconds.
    time.ms += 1_000;
    for (let i = 0; i < 100; i++)
      await expect(wrapper.unwrap(wrapped, never)).rejects.toMatchObject(unavailable);
    expect(vault.requests.length - before).toBeLessThanOrEqual(asked + 3);
    vault.fail(undefined);
    time.ms += 1_999;
    await expect(wrapper.unwrap(wrapped, never)).rejects.toMatchObject(unavailable);
    time.ms += 1;
    expect(Buffer.from(await wrapper.unwrap(wrapped, never))).toEqual(key);
    expect(Buffer.from(await wrapper.unwrap(wrapped, never))).toEqual(key);
  });

  test("a wrapped key that was altered is asked for once, and the vault's other keys at once", async () => {
    const wrapper = createWrapper({ nowMs: () => 0 });
    const good = await wrapper.wrap(randomBytes(32), never);
    const altered = {
      ...good,
      wrapped: Buffer.from(good.wrapped).map((byte, i) => (i === 9 ? byte ^ 1 : byte)),
    };
    const before = vault.requests.length;
    for (let i = 0; i < 20; i++)
      await expect(wrapper.unwrap(altered, never)).rejects.toMatchObject(unavailable);
    expect(askedSince(before)).toEqual(["POST unwrapkey"]);
    await wrapper.unwrap(good, never);
    expect(askedSince(before)).toEqual(["POST unwrapkey", "POST unwrapkey"]);
  });

  test("a version that was disabled stops nothing of another version", async () => {
    const wrapper = createWrapper({ nowMs: () => 0 });
    const old = await wrapper.wrap(randomBytes(32), never);
    vault.rotate();
    const renewed = await wrapper.wrap(randomBytes(32), never);
    vault.disable(old.kekId);
    const before = vault.requests.length;
    for (let i = 0; i < 20; i++) await expect(wrapper.unwrap(old, never)).rejects.toMatchObject(unavailable);
    expect(askedSince(before)).toEqual(["POST unwrapkey"]);
    await wrapper.unwrap(renewed, never);
  });

  const unwrapUntil = async (reason: Error) => {
    const wrapper = createWrapper({ nowMs: () => 0 });
    const wrapped = await wrapper.wrap(randomBytes(32), never);
    await endWhileHanging(reason, (signal) => wrapper.unwrap(wrapped, signal));
    return wrapper.unwrap(wrapped, never);
  };

  test("a caller that gives up is no failure of the vault", async () => {
    expect(await unwrapUntil(new Error("ended"))).toHaveLength(32);
  });

  test("a vault that does not answer in time is", async () => {
    const timeLimit = new DOMException("the load's time limit", "TimeoutError");
    await expect(unwrapUntil(timeLimit)).rejects.toMatchObject(unavailable);
  });
});

/** The caller's signal ends a call to a vault that hangs; afterwards the vault answers again. */
async function endWhileHanging(
  reason: Error,
  call: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  vault.fail("hang");
  const ended = new AbortController();
  const before = vault.requests.length;
  const calling = call(ended.signal);
  await expect.poll(() => vault.requests.length).toBeGreaterThan(before);
  ended.abort(reason);
  await expect(calling).rejects.toThrow(reason.message);
  vault.fail(undefined);
}

test("a vault that never answers ends with the caller's signal", async () => {
  await endWhileHanging(new Error("ended"), (signal) => createWrapper().wrap(randomBytes(32), signal));
});

test("ten instances at once make one key of a day, and each asks the vault once for it from then on", async () => {
  const { prefix, clock } = createTestStore();
  const day = toDay(clock.now()) + 3;
  const keyrings = Array.from({ length: 10 }, () =>
    createKeyring({ rows: createTestStore({ prefix }).store, wrapper: createWrapper(), clock }),
  );
  const keys = await Promise.all(keyrings.map((keyring) => keyring.makeDayKey(day, never)));
  for (const key of keys) expect(keys[0]?.equals(key)).toBe(true);
  const late = createKeyring({ rows: createTestStore({ prefix }).store, wrapper: createWrapper(), clock });
  const before = vault.requests.length;
  const found = await Promise.all(Array.from({ length: 20 }, () => late.findDayKey(day, never)));
  expect(found.every((key) => keys[0] !== undefined && key?.equals(keys[0]) === true)).toBe(true);
  expect(askedSince(before)).toEqual(["POST unwrapkey"]);
});

test("the deployed bundle works with a vault and managed identity, and is a 503 without the vault", async () => {
  // The platform's own token endpoint (App Service: IDENTITY_ENDPOINT), which hands out what the vault takes.
  const identity = createServer((request, response) => {
    const isOurs = request.headers["x-identity-header"] === "identity-secret";
    response.writeHead(isOurs ? 200 : 401, { "content-type": "application/json" });
    response.end(
      JSON.stringify({
        access_token: VAULT_TOKEN,
        token_type: "Bearer",
        expires_on: `${Math.floor(Date.now() / 1000) + 3600}`,
      }),
    );
  }).listen(0, "127.0.0.1");
  await once(identity, "listening");
  const address = identity.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const directory = await mkdtemp(join(tmpdir(), "secure-push-"));
  await writeFile(join(directory, "ca.pem"), vault.ca);
  const settings = {
    PAYLOAD_LOCAL_KEK: "",
    PAYLOAD_KEK: vault.keyUrl,
    IDENTITY_ENDPOINT: `http://127.0.0.1:${address.port}/token`,
    IDENTITY_HEADER: "identity-secret",
    EXTRA_CA_FILE: join(directory, "ca.pem"),
  };
  const api = await createApi("through the local host", { settings });
  try {
    const sent = await api.send({ to: ["alice"], payload: "through the vault" });
    expect(sent.status, `${sent.text}\n${api.lines.join("\n")}`).toBe(201);
    const path = `/api/notifications/${String(sent.json()["id"])}`;
    expect((await api.as("alice", "GET", path)).json()["payload"]).toBe("through the vault");
    // A cold instance with the vault down.
    const cold = await createApi("through the local host", {
      settings: { ...settings, TABLE_PREFIX: api.tablePrefix },
    });
    try {
      vault.fail(403);
      const refused = await cold.as("alice", "GET", path);
      expect(refused.status).toBe(503);
      expect(refused.json()["reason"]).toBe("keys_unavailable");
      expect(refused.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
      // The warm one goes on: its keys are in memory.
      expect((await api.as("alice", "GET", path)).status).toBe(200);
      vault.fail(undefined);
      // The vault is asked again after a pause of a second or two.
      await expect
        .poll(async () => (await cold.as("alice", "GET", path)).json()["payload"], { timeout: 10_000 })
        .toBe("through the vault");
    } finally {
      await cold.close();
    }
  } finally {
    await api.close();
    identity.close();
    await once(identity, "close");
    await rm(directory, { recursive: true });
  }
});
