// listNotifications, markRead, deleteNotification and getPushConfig as devices meet them, in process and through the
// local host.
import { randomBytes } from "node:crypto";
import { request as httpRequest } from "node:http";
import { TableClient } from "@azure/data-tables";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { getPushConfig } from "../../functions/getPushConfig.ts";
import type { Call } from "../../functions/http/handler.ts";
import { createNotificationId, DAY_MS, NotificationId, toDay, toDayName } from "../../shared/domain/id.ts";
import { type Answered, type Api, createApi, WAYS, createProxiedApi } from "../helpers/api.ts";
import { tableOf } from "../helpers/rows.ts";
import { createTestStore, silentLog } from "../helpers/store.ts";

const LIST = "/api/notifications";
const pathOf = (id: string) => `${LIST}/${id}`;
const idOf = (sent: Answered) => NotificationId.parse(sent.json()["id"]);
const createUser = () => `user-${randomBytes(8).toString("hex")}`;

interface Listed {
  readonly id: string;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly read: boolean;
  readonly fetchedAt?: string;
}

const listedIn = (answer: Answered) => answer.json()["notifications"] as readonly Listed[];
const idsIn = (answer: Answered) => listedIn(answer).map(({ id }) => id);
const cursorIn = (answer: Answered) => answer.json()["cursor"] as string | undefined;

/** What a caller can see of an answer, but for what differs between any two calls. */
function visible({ status, headers, text }: Answered): unknown {
  const seen = [...headers].filter(
    ([name]) => !["date", "x-correlation-id", "x-ms-invocation-id"].includes(name),
  );
  return { status, text, headers: Object.fromEntries(seen) };
}

describe.each(WAYS)("%s", (way) => {
  let api: Api;

  beforeAll(async () => {
    api = await createApi(way);
  });
  afterAll(() => api.close());

  const sendTo = async (user: string, ttl = 3600) =>
    idOf(await api.send({ to: [user], payload: "secret", ttl }));
  const list = (user: string, query: Readonly<Record<string, string>> = {}) =>
    api.as(user, "GET", `${LIST}?${new URLSearchParams(query).toString()}`);
  const table = (id: NotificationId) =>
    createTestStore({ prefix: api.tablePrefix }).rawTable(tableOf({ id }));

  /** A row as it lies in its table, with whose it is; a user has one of each ID. */
  async function findRow(id: NotificationId) {
    for await (const row of table(id).listEntities({ queryOptions: { filter: `RowKey eq '${id}'` } }))
      return row;
    throw new Error("there is no such row");
  }

  /** Rows of this user as if they had been sent at other times; nothing of them but the list looks at payloads. */
  async function putRows(
    user: string,
    times: readonly { readonly createdAt: Date; readonly expiresAt: Date }[],
  ) {
    const sent = await sendTo(user);
    const { partitionKey = "" } = await findRow(sent);
    await api.as(user, "DELETE", pathOf(sent));
    const ids = times.map(({ createdAt, expiresAt }) => createNotificationId(createdAt, expiresAt));
    const store = createTestStore({ prefix: api.tablePrefix });
    for (const [i, id] of ids.entries())
      await store.tables.write(
        { table: tableOf({ id }), partitionKey, rowKey: id },
        { createdAt: times[i]?.createdAt ?? new Date(), expiresAt: times[i]?.expiresAt ?? new Date() },
        undefined,
        new AbortController().signal,
      );
    return ids;
  }

  async function listAll(
    user: string,
    query: Readonly<Record<string, string>> = {},
  ): Promise<readonly string[]> {
    const ids: string[] = [];
    for (let cursor: string | undefined; ;) {
      const page = await list(user, { ...query, ...(cursor === undefined ? {} : { cursor }) });
      expect(page.status, page.text).toBe(200);
      ids.push(...idsIn(page));
      cursor = cursorIn(page);
      if (cursor === undefined) return ids;
    }
  }

  describe("listNotifications", () => {
    test("a user without notifications has an empty list, and no cursor", async () => {
      const answer = await list(createUser());
      expect(answer.status, answer.text).toBe(200);
      expect(answer.headers.get("content-type")).toBe("application/json");
      expect(answer.headers.get("cache-control")).toBe("no-store");
      expect(answer.json()).toEqual({ notifications: [] });
    });

    test("the newest comes first, on whatever day it expires, without its payload", async () => {
      const user = createUser();
      const sent: Answered[] = [];
      for (const ttl of [2_419_200, 60, 604_800, 86_400, 2_000_000, 3_600])
        sent.push(await api.send({ to: [user], payload: "secret", ttl }));
      const answer = await list(user);
      expect(answer.text).not.toContain("secret");
      // Of one millisecond, any order is right.
      const createdAt = listedIn(answer).map((listed) => listed.createdAt);
      expect(createdAt).toEqual(createdAt.toSorted().toReversed());
      const expected = sent.map((one) => {
        const { id, createdAt: created, expiresAt } = one.json();
        return { id, createdAt: created, expiresAt, read: false };
      });
      expect(listedIn(answer)).toHaveLength(sent.length);
      expect(listedIn(answer)).toEqual(expect.arrayContaining(expected));
    });

    test("R32: only one's own are listed", async () => {
      const [ada, bob] = [createUser(), createUser()];
      const id = idOf(await api.send({ to: [ada, bob], payload: 1 }));
      const own = await sendTo(ada);
      await api.as(bob, "PUT", `${pathOf(id)}/read`);
      expect(idsIn(await list(ada)).toSorted()).toEqual([id, own].toSorted());
      expect(listedIn(await list(bob))).toMatchObject([{ id, read: true }]);
      expect(listedIn(await list(ada)).map(({ read }) => read)).toEqual([false, false]);
      expect(idsIn(await list(createUser()))).toEqual([]);
    });

    test("what was fetched and read shows it; unread alone are what was asked for", async () => {
      const user = createUser();
      const [fetched, read, untouched] = [await sendTo(user), await sendTo(user), await sendTo(user)];
      await api.as(user, "GET", pathOf(fetched));
      await api.as(user, "PUT", `${pathOf(read)}/read`);
      const byId = new Map(listedIn(await list(user)).map((listed) => [listed.id, listed]));
      expect(byId.get(fetched)).toMatchObject({ read: false });
      expect(byId.get(fetched)?.fetchedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(byId.get(read)).toMatchObject({ read: true });
      expect(byId.get(untouched)).not.toHaveProperty("fetchedAt");
      expect((await listAll(user, { unread: "true", limit: "1" })).toSorted()).toEqual(
        [fetched, untouched].toSorted(),
      );
      expect(await listAll(user, { unread: "false" })).toHaveLength(3);
    });

    test("P5: what is deleted, erased or expired is not listed", async () => {
      const user = createUser();
      const now = Date.now();
      const [over] = await putRows(user, [
        { createdAt: new Date(now - 60_000), expiresAt: new Date(now - 1) },
        { createdAt: new Date(now), expiresAt: new Date(now + DAY_MS) },
      ]);
      const [deleted, erased] = [await sendTo(user), await sendTo(user)];
      await api.as(user, "DELETE", pathOf(deleted));
      const { partitionKey = "" } = await findRow(erased);
      await table(erased).updateEntity({ partitionKey, rowKey: erased, v: 1, gone: "erased" }, "Replace");
      const ids = await listAll(user);
      expect(ids).toHaveLength(1);
      for (const gone of [over, deleted, erased]) expect(ids).not.toContain(gone);
    });

    test("pages of any size hold all of 30 over 28 days, each once, in the order of one page", async () => {
      const user = createUser();
      const now = Date.now();
      const ids = await putRows(
        user,
        Array.from({ length: 30 }, (_, i) => ({
          createdAt: new Date(now - 1000 * i),
          // Past the coming midnight, so that no day is over while this runs.
          expiresAt: new Date((toDay(new Date(now)) + 1 + ((i * 11) % 28)) * DAY_MS),
        })),
      );
      expect(idsIn(await list(user, { limit: "100" }))).toEqual(ids);
      expect(idsIn(await list(user))).toEqual(ids.slice(0, 20));
      expect(cursorIn(await list(user, { limit: "30" }))).toBeUndefined();
      for (const limit of ["1", "7", "29"]) expect(await listAll(user, { limit })).toEqual(ids);
    });

    test("what is made or deleted between two pages shifts no page", async () => {
      const user = createUser();
      const now = Date.now();
      const tomorrow = (toDay(new Date(now)) + 1) * DAY_MS;
      const ids = await putRows(
        user,
        Array.from({ length: 9 }, (_, i) => ({
          createdAt: new Date(now - 1000 * (i + 1)),
          expiresAt: new Date(tomorrow + (i % 3) * DAY_MS),
        })),
      );
      const first = await list(user, { limit: "3" });
      expect(idsIn(first)).toEqual(ids.slice(0, 3));
      // The one that the cursor stands on, the next one, and a newer one.
      for (const id of [ids[2], ids[3]]) await api.as(user, "DELETE", pathOf(id ?? ""));
      const newer = await sendTo(user);
      const second = await list(user, { limit: "3", cursor: cursorIn(first) ?? "" });
      expect(idsIn(second)).toEqual(ids.slice(4, 7));
      const third = await list(user, { limit: "3", cursor: cursorIn(second) ?? "" });
      expect(idsIn(third)).toEqual(ids.slice(7));
      expect(cursorIn(third)).toBeUndefined();
      expect(idsIn(await list(user))[0]).toBe(newer);
    });

    test.each(["1", "9", "10", "99", "100"])("a limit of %s is taken", async (limit) => {
      expect((await list(createUser(), { limit })).status).toBe(200);
    });

    test.each([
      "limit=",
      "limit=0",
      "limit=-1",
      "limit=101",
      "limit=1000",
      "limit=05",
      "limit=1e1",
      "limit=%2B5",
      "limit=%205",
      "limit=5%20",
      "limit=5%0A",
      "limit=5.0",
      "limit=0x5",
      "limit=%EF%BC%95", // a five, of another script
      "limit=all",
      "unread=",
      "unread=True",
      "unread=1",
      "unread=true%20",
      "unread",
      "limit=5&limit=500",
      "unread=true&unread=true",
      "userId=bob",
      "Limit=5",
      "$filter=x",
      "__proto__=x",
      "code=x",
    ])("R75: a query of %s is a 400", async (query) => {
      const answer = await api.as("alice", "GET", `${LIST}?${query}`);
      expect(answer.status, answer.text).toBe(400);
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
      expect(answer.json()).toMatchObject({ type: "about:blank", status: 400, reason: "query_invalid" });
    });

    test("R75: a cursor that is forged, another user's, or another list's is a 400", async () => {
      const [ada, bob] = [createUser(), createUser()];
      for (const user of [ada, ada, bob, bob]) await sendTo(user);
      const cursor = cursorIn(await list(ada, { limit: "1" })) ?? "";
      const bobs = cursorIn(await list(bob, { limit: "1" })) ?? "";
      const unread = cursorIn(await list(ada, { limit: "1", unread: "true" })) ?? "";
      expect(cursor).toMatch(/^[\w-]{72}$/);
      expect((await list(ada, { limit: "1", cursor })).status).toBe(200);
      expect((await list(ada, { limit: "5", cursor, unread: "false" })).status).toBe(200);
      expect((await list(ada, { unread: "true", cursor: unread })).status).toBe(200);
      for (const [user, query] of [
        [bob, { cursor }],
        [ada, { cursor: bobs }],
        [ada, { cursor, unread: "true" }],
        [ada, { cursor: unread }],
        [ada, { cursor: "" }],
        [ada, { cursor: cursor.slice(0, -1) }],
        [ada, { cursor: `${cursor}0` }],
        [ada, { cursor: cursor.toLowerCase() }],
        [ada, { cursor: `0${cursor.slice(1)}` }], // another position under the same hash
        [ada, { cursor: bobs.slice(0, 29) + cursor.slice(29) }],
        [ada, { cursor: "'; or RowKey gt '" }],
        [ada, { cursor: "x".repeat(4000) }],
      ] as const) {
        const answer = await list(user, query);
        expect(answer.status, JSON.stringify(query)).toBe(400);
        expect(answer.json()).toMatchObject({ type: "about:blank", status: 400, reason: "cursor_invalid" });
      }
      const twice = await api.as(ada, "GET", `${LIST}?cursor=${cursor}&cursor=${cursor}`);
      expect(twice.json()).toMatchObject({ status: 400, reason: "query_invalid" });
    });

    test("R98: a damaged row keeps nobody from the others, and is told in the log", async () => {
      const user = createUser();
      const [damaged, sound] = [await sendTo(user), await sendTo(user)];
      const { partitionKey = "" } = await findRow(damaged);
      await table(damaged).updateEntity({ partitionKey, rowKey: damaged, createdAt: "yesterday" }, "Merge");
      expect(await listAll(user)).toEqual([sound]);
      expect(api.lines.some((line) => line.includes("row_damaged") && line.includes(damaged))).toBe(true);
    });
  });

  describe("markRead", () => {
    test("a notification that its user has read says so, wherever it is asked; twice is harmless", async () => {
      const user = createUser();
      const id = await sendTo(user);
      expect((await api.as(user, "GET", pathOf(id))).json()).toMatchObject({ read: false });
      const answer = await api.as(user, "PUT", `${pathOf(id)}/read`);
      expect(answer.status, answer.text).toBe(204);
      expect(answer.text).toBe("");
      expect(answer.headers.get("cache-control")).toBe("no-store");
      const { readAt } = await findRow(id);
      expect(readAt).toBeInstanceOf(Date);
      expect((await api.as(user, "PUT", `${pathOf(id)}/read`)).status).toBe(204);
      expect((await findRow(id))["readAt"]).toEqual(readAt);
      expect((await api.as(user, "GET", pathOf(id))).json()).toMatchObject({ read: true, payload: "secret" });
      expect(listedIn(await list(user))).toMatchObject([{ id, read: true }]);
    });

    test("R32, P2: a foreign, unknown, expired or deleted one is the same 404 as on getNotification", async () => {
      const user = createUser();
      const [id, deleted] = [await sendTo(user), await sendTo(user)];
      await api.as(user, "DELETE", pathOf(deleted));
      const now = Date.now();
      const [expired = ""] = await putRows(user, [
        { createdAt: new Date(now - 60_000), expiresAt: new Date(now - 1) },
      ]);
      const unknown = visible(await api.as(createUser(), "GET", pathOf(id)));
      expect(unknown).toMatchObject({ status: 404 });
      const beyond = createNotificationId(new Date(), new Date(now + 31 * DAY_MS));
      const over = createNotificationId(new Date(), new Date(now - DAY_MS));
      for (const [who, tried] of [
        [createUser(), id],
        [user, deleted],
        [user, expired],
        [user, createNotificationId(new Date(), new Date(now + DAY_MS))],
        [user, beyond],
        [user, over],
        [user, "0".repeat(32)],
        [user, "x"],
        [user, "%00"],
      ] as const)
        expect(visible(await api.as(who, "PUT", `${pathOf(tried)}/read`)), tried).toEqual(unknown);
      expect((await findRow(id))["readAt"]).toBeUndefined();
    });
  });

  describe("deleteNotification", () => {
    test("P5, R44: what is deleted is gone from that moment on; twice is harmless", async () => {
      const user = createUser();
      const [id, kept] = [await sendTo(user), await sendTo(user)];
      const answer = await api.as(user, "DELETE", pathOf(id));
      expect(answer.status, answer.text).toBe(204);
      expect(answer.text).toBe("");
      expect((await api.as(user, "GET", pathOf(id))).status).toBe(404);
      expect((await api.as(user, "DELETE", pathOf(id))).status).toBe(204);
      expect((await api.as(user, "GET", pathOf(id))).status).toBe(404);
      expect(await listAll(user)).toEqual([kept]);
      expect((await api.as(user, "GET", pathOf(kept))).status).toBe(200);
    });

    test("R32: another user's is a 204 too, and changes nothing for its owner", async () => {
      const [ada, mallory] = [createUser(), createUser()];
      const id = await sendTo(ada);
      const before = await findRow(id);
      expect((await api.as(mallory, "DELETE", pathOf(id))).status).toBe(204);
      expect(await findRow(id)).toEqual(before);
      expect((await api.as(ada, "GET", pathOf(id))).status).toBe(200);
      const both = idOf(await api.send({ to: [ada, mallory], payload: 1 }));
      await api.as(mallory, "DELETE", pathOf(both));
      expect((await api.as(ada, "GET", pathOf(both))).status).toBe(200);
    });

    test.each([
      ["unknown", createNotificationId(new Date(), new Date(Date.now() + DAY_MS))],
      ["over", createNotificationId(new Date(0), new Date(DAY_MS))],
      ["beyond what lives", createNotificationId(new Date(), new Date(Date.now() + 40 * DAY_MS))],
      ["NUL", "%00"],
      ["a quote", "'"],
      ["a slash", "a%2Fb"],
      ["in lower case", "0".repeat(31) + "a"],
      ["4,000 characters", "x".repeat(4000)],
    ])("R72: an ID that is %s is a 204", async (_what, id) => {
      const answer = await api.as("alice", "DELETE", pathOf(id));
      expect(answer.status, answer.text).toBe(204);
    });
  });

  describe("what every device's route refuses", () => {
    const id = "0".repeat(32);
    const calls = [
      ["GET", LIST],
      ["PUT", `${pathOf(id)}/read`],
      ["DELETE", pathOf(id)],
    ] as const;

    test.each(calls)("%s %s without a user's token", async (method, path) => {
      const missing = await api.call(method, path, { "x-functions-key": api.functionKey });
      expect(missing.status).toBe(401);
      expect(missing.json()).toMatchObject({ reason: "token_missing" });
      const forged = await api.call(method, `${path}?unknown=1`, { authorization: "Bearer a.b.c" });
      expect(forged.json()).toMatchObject({ status: 401, reason: "token_rejected" });
      const answer = await fetch(`${api.issuer.url}/token`, {
        method: "POST",
        body: new URLSearchParams({ grant_type: "client_credentials", client_id: "backend" }),
      });
      const { access_token: sender } = (await answer.json()) as { readonly access_token: string };
      expect((await api.call(method, path, { authorization: `Bearer ${sender}` })).status).toBe(403);
    });

    test.each(calls.slice(1))("R75: %s %s with a query", async (method, path) => {
      for (const query of ["userId=bob", "limit=5", "code=x"]) {
        const answer = await api.as("alice", method, `${path}?${query}`);
        expect(answer.json()).toMatchObject({ status: 400, reason: "query_invalid" });
      }
    });

    test.each([
      ["POST", `${pathOf(id)}/read`],
      ["GET", `${pathOf(id)}/read`],
      ["DELETE", `${pathOf(id)}/read`],
      ["PUT", LIST],
      ["DELETE", LIST],
      ["PUT", pathOf(id)],
      ["PUT", `${pathOf(id)}/unread`],
      ["POST", "/api/push-config"],
    ])("R46: %s %s, by the host's 404", async (method, path) => {
      const answer = await api.as("alice", method, path);
      expect(answer.status).toBe(404);
      expect(answer.text).toBe("");
    });
  });

  describe("a body that means nothing", () => {
    /** A call with a body in chunks that does not come to its end; answers the status all the same. */
    function callEndless(method: string, path: string, authorization: string): Promise<number> {
      return new Promise((resolve, reject) => {
        const headers = { authorization, "transfer-encoding": "chunked" };
        const request = httpRequest(`${api.url}${path}`, { method, headers });
        request.on("error", reject).on("response", (response) => {
          resolve(response.statusCode ?? 0);
          request.destroy();
        });
        request.write("x".repeat(100_000));
      });
    }

    test("is taken, whatever it is, and keeps no later request waiting", async () => {
      const user = createUser();
      const authorization = `Bearer ${await api.issuer.buildUserToken(user)}`;
      const bodies = ["", "{", '{"read":false}', "x".repeat(100_000), "x".repeat(2_000_000)];
      for (const [i, body] of [...bodies, ...bodies].entries()) {
        const id = await sendTo(user);
        const headers = { authorization, "content-type": i % 2 === 0 ? "application/json" : "text/plain" };
        expect((await api.call("PUT", `${pathOf(id)}/read`, headers, body)).status).toBe(204);
        expect((await api.as(user, "GET", pathOf(id))).json()).toMatchObject({ read: true });
        expect((await api.call("DELETE", pathOf(id), headers, body)).status).toBe(204);
        expect((await api.as(user, "GET", pathOf(id))).status).toBe(404);
      }
    });

    test("is not waited for", async () => {
      const user = createUser();
      const authorization = `Bearer ${await api.issuer.buildUserToken(user)}`;
      const id = await sendTo(user);
      expect(await callEndless("PUT", `${pathOf(id)}/read`, authorization)).toBe(204);
      expect(await callEndless("DELETE", pathOf(id), authorization)).toBe(204);
      for (let i = 0; i < 5; i++) expect((await api.call("GET", "/api/health")).status).toBe(200);
    });
  });

  describe("getPushConfig", () => {
    test("needs no credential, and has no key while there is no Web Push", async () => {
      const answer = await api.call("GET", "/api/push-config");
      expect(answer.status, answer.text).toBe(200);
      expect(answer.headers.get("content-type")).toBe("application/json");
      expect(answer.json()).toEqual({});
    });

    test("R75: takes no query", async () => {
      const answer = await api.call("GET", "/api/push-config?code=x");
      expect(answer.json()).toMatchObject({ status: 400, reason: "query_invalid" });
    });
  });

  test("of 20 who fetch and mark one at once, all are answered, and each mark stands once", async () => {
    const user = createUser();
    const id = await sendTo(user);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0 ? api.as(user, "GET", pathOf(id)) : api.as(user, "PUT", `${pathOf(id)}/read`),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map((_, i) => (i % 2 === 0 ? 200 : 204)));
    const { fetchedAt, readAt, push } = await findRow(id);
    expect(fetchedAt).toBeInstanceOf(Date);
    expect(readAt).toBeInstanceOf(Date);
    expect(push).toBe("noDevices");
    await api.as(user, "GET", pathOf(id));
    await api.as(user, "PUT", `${pathOf(id)}/read`);
    expect(await findRow(id)).toMatchObject({ fetchedAt, readAt });
    expect(api.lines.filter((line) => line.includes("fetch_not_marked"))).toEqual([]);
  });
});

test("P5, R100: from expiresAt on, one is neither listed nor marked, to the millisecond", async () => {
  const api = await createApi("in process", { standsStill: true });
  try {
    const id = idOf(await api.send({ to: ["alice"], payload: 1, ttl: 60 }));
    api.advance(59.999);
    expect(idsIn(await api.as("alice", "GET", LIST))).toEqual([id]);
    expect((await api.as("alice", "PUT", `${pathOf(id)}/read`)).status).toBe(204);
    api.advance(0.001);
    expect(idsIn(await api.as("alice", "GET", LIST))).toEqual([]);
    expect((await api.as("alice", "PUT", `${pathOf(id)}/read`)).status).toBe(404);
    expect((await api.as("alice", "DELETE", pathOf(id))).status).toBe(204);
  } finally {
    await api.close();
  }
});

test("a cursor serves another instance, and one that was started again", async () => {
  const first = await createApi("in process");
  const settings = { TABLE_PREFIX: first.tablePrefix, ...first.keySettings };
  for (let i = 0; i < 3; i++) await first.send({ to: ["alice"], payload: i });
  const ids = idsIn(await first.as("alice", "GET", LIST));
  const page = await first.as("alice", "GET", `${LIST}?limit=1`);
  await first.close();
  const second = await createApi("in process", { settings });
  try {
    const rest = await second.as("alice", "GET", `${LIST}?cursor=${cursorIn(page)}`);
    expect([...idsIn(page), ...idsIn(rest)]).toEqual(ids);
  } finally {
    await second.close();
  }
});

test("R103: for an ID that is over, beyond what lives, or none, no storage is asked and no table made", async () => {
  const { proxy, api } = await createProxiedApi();
  try {
    const now = Date.now();
    const ids = [
      createNotificationId(new Date(now), new Date(now - DAY_MS)),
      createNotificationId(new Date(now), new Date(now + 31 * DAY_MS)),
      "0".repeat(32),
      `F${"Z".repeat(31)}`,
      "x",
    ];
    for (const id of ids) {
      expect((await api.as("alice", "DELETE", pathOf(id))).status, id).toBe(204);
      expect((await api.as("alice", "PUT", `${pathOf(id)}/read`)).status, id).toBe(404);
    }
    expect(proxy.requests).toEqual([]);
    // Nor is a table made for one that could live.
    const id = createNotificationId(new Date(now), new Date(now + 3 * DAY_MS));
    expect((await api.as("alice", "DELETE", pathOf(id))).status).toBe(204);
    expect((await api.as("alice", "PUT", `${pathOf(id)}/read`)).status).toBe(404);
    expect((await api.as("alice", "GET", LIST)).json()).toEqual({ notifications: [] });
    expect(await createTestStore({ prefix: api.tablePrefix }).listTables()).toEqual(["keys"]);
  } finally {
    await api.close();
  }
});

test("a list reads about a thousand rows of a call, and goes on behind them where none of them is listed", async () => {
  const { proxy, api } = await createProxiedApi();
  try {
    const old = idOf(await api.send({ to: ["alice"], payload: 1, ttl: 3 * 86_400 }));
    const { prefix, rawTable } = createTestStore({ prefix: api.tablePrefix });
    const [row] = await Array.fromAsync(rawTable(tableOf({ id: old })).listEntities());
    const now = Date.now();
    const day = toDay(new Date(now)) + 5;
    const table = `notifications${toDayName(day)}`;
    const raw = TableClient.fromConnectionString(inject("storageConnectionString"), prefix + table, {
      allowInsecureConnection: true,
    });
    await raw.createTable();
    const partitionKey = row?.partitionKey ?? "";
    for (let hundred = 0; hundred < 15; hundred++)
      await raw.submitTransaction(
        Array.from({ length: 100 }, (_, i) => {
          const rowKey = createNotificationId(new Date(now + 100 * hundred + i), new Date(day * DAY_MS));
          return ["create", { partitionKey, rowKey, v: 1, gone: "deleted" }] as ["create", never];
        }),
      );
    const before = proxy.requests.length;
    const first = await api.as("alice", "GET", LIST);
    expect(first.json()).toEqual({ notifications: [], cursor: expect.any(String) });
    expect(proxy.requests.length - before).toBeLessThanOrEqual(45);
    const second = await api.as("alice", "GET", `${LIST}?cursor=${cursorIn(first)}`);
    expect(idsIn(second)).toEqual([old]);
    expect(cursorIn(second)).toBeUndefined();
  } finally {
    await api.close();
  }
});

test("getPushConfig hands on the key that it was given", async () => {
  const answered = await getPushConfig({ vapidPublicKey: "BKey" })({ log: silentLog } as unknown as Call);
  expect(answered).toMatchObject({ ok: true, value: { status: 200, body: '{"vapidPublicKey":"BKey"}' } });
});
