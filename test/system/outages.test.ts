// What callers see when storage, a sender or the issuer is away: a 503 with Retry-After in time, and nothing of the
// reason; or a 202, where the pushes are made later. What depends on the sender is tried with the hub's emulator and
// with a direct test sender of two destinations. Groups and the directory are the hub's alone: test/outbox and
// test/devices have their outages.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Answered, type Api, createApi, createProxiedApi } from "../helpers/api.ts";
import type { ProxiedRequest } from "../helpers/faultProxy.ts";
import { channelsOf, idOf, outboxRows, redeliver } from "../helpers/pushes.ts";
import { createStoreProxy, storeError, type StoreProxy } from "../helpers/store.ts";
import {
  accepted,
  createDirectSender,
  neverAnswer,
  type TestSender,
  toDestination,
} from "../helpers/testSender.ts";

function expectLater(answer: Answered, reason: string): void {
  expect(answer.status, answer.text).toBe(503);
  expect(answer.json()).toMatchObject({ type: "about:blank", status: 503, reason });
  expect(answer.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
  expect(Object.keys(answer.json()).toSorted()).toEqual(["reason", "status", "title", "type"]);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
}

const isMark = ({ method, path, headers }: ProxiedRequest) =>
  path.includes("notifications20") && (method === "PATCH" || headers["x-http-method"] === "MERGE");

// At once: most of their time is waiting.
describe.concurrent.each([
  ["resets every connection", "reset", "store_unavailable"],
  ["never answers", "hang", "too_slow"],
] as const)("R96: a store that %s", (_what, kind, reason) => {
  let proxy: StoreProxy;
  let api: Api;

  beforeAll(async () => {
    proxy = await createStoreProxy();
    await proxy.setFault({ kind });
    api = await createApi("in process", { storageConnectionString: proxy.connectionString });
  });
  afterAll(async () => {
    await api.close();
    await proxy.close();
  });

  test.each<[string, () => Promise<Answered>]>([
    ["sendSecure", () => api.send({ to: ["alice"], payload: "secret" })],
    ["getNotification", async () => api.as("alice", "GET", `/api/notifications/${await aLiveId()}`)],
    ["listNotifications", () => api.as("alice", "GET", "/api/notifications")],
    ["markRead", async () => api.as("alice", "PUT", `/api/notifications/${await aLiveId()}/read`)],
    ["deleteNotification", async () => api.as("alice", "DELETE", `/api/notifications/${await aLiveId()}`)],
    ["registerInstallation", () => registerPhone(api, "alice", "fcmv1")],
    ["removeInstallation", () => api.as("alice", "DELETE", "/api/installations/phone")],
  ])("makes %s a 503 in time", async (_name, call) => {
    expectLater(await call(), reason);
  });

  test("makes health a 503 that tells nothing", async () => {
    const answer = await api.call("GET", "/api/health");
    expect(answer.status).toBe(503);
    expect(answer.json()).toMatchObject({
      reason: kind === "hang" ? expect.stringMatching(/unhealthy|too_slow/) : "unhealthy",
    });
    expect(answer.text).not.toContain(`127.0.0.1:${proxy.port}`);
  });

  test("is not asked for a caller who is nobody (R24), nor for an ID that is over", async () => {
    for (const headers of [{}, { authorization: "Bearer a.b.c" }, { authorization: "Basic YTpi" }])
      expect((await api.call("GET", `/api/notifications/${await aLiveId()}`, headers)).status).toBe(401);
    // Days of 1970, and of 2059: no storage has to be asked.
    expect((await api.as("alice", "GET", `/api/notifications/${"0".repeat(32)}`)).status).toBe(404);
    expect((await api.as("alice", "GET", `/api/notifications/F${"Z".repeat(31)}`)).status).toBe(404);
  });
});

/** An ID that could stand for something: made by a service that works. */
let liveId: Promise<string> | undefined;
function aLiveId(): Promise<string> {
  liveId ??= (async () => {
    const working = await createApi("in process");
    try {
      return String((await working.send({ to: ["alice"], payload: 1 })).json()["id"]);
    } finally {
      await working.close();
    }
  })();
  return liveId;
}

const registerPhone = (
  api: Api,
  user: string,
  platform: "fcmv1" | "adm" | "xiaomi",
  pushChannel = `north.${user}`,
) => api.as(user, "PUT", "/api/installations/phone", { platform, pushChannel });

type Outage =
  "never answers" | "cannot be reached" | "asks to wait" | "refuses our credentials" | "refuses the push";

/** A sender whose pushes come to what a test says. */
interface Tried {
  readonly platform: "fcmv1" | "adm";
  /** Until `recover`. */
  readonly fail: (outage: Outage) => void;
  readonly recover: () => void;
  /** The push channels that took an ID. */
  readonly pushedTo: (id: string) => readonly string[];
}

function tryHub(api: Api): Tried {
  const answers = {
    "never answers": "hang",
    "cannot be reached": "reset",
    "asks to wait": { status: 429, headers: { "retry-after": "20" } },
    "refuses our credentials": { status: 401 },
    "refuses the push": { status: 400 },
  } as const;
  return {
    platform: "fcmv1",
    fail: (outage) => api.hub.fail({ on: "send", times: 1e6, answer: answers[outage] }),
    recover: api.hub.clearFaults,
    pushedTo: (id) => channelsOf(api, id),
  };
}

function tryDirect(direct: TestSender): Tried {
  const answers: Readonly<Record<Outage, TestSender["answer"]>> = {
    "never answers": neverAnswer,
    "cannot be reached": () => ({ kind: "transient", cause: "ECONNRESET" }),
    "asks to wait": () => ({ kind: "throttled", retryAfterSeconds: 20 }),
    "refuses our credentials": () => ({ kind: "credentials", status: 401 }),
    "refuses the push": () => ({ kind: "message", status: 400 }),
  };
  const recover = () => {
    direct.answer = () => accepted;
  };
  return {
    platform: "adm",
    fail: (outage) => {
      direct.answer = answers[outage];
    },
    recover,
    pushedTo: (id) =>
      direct.pushes
        .filter(({ notificationId, outcome }) => notificationId === id && outcome === "accepted")
        .map(({ address }) => address),
  };
}

const SENDERS = ["the hub", "a direct sender"] as const;
const toTried = (sender: (typeof SENDERS)[number], api: Api, direct: TestSender) =>
  sender === "the hub" ? tryHub(api) : tryDirect(direct);

async function receiptOf(api: Api, sent: Answered, user: string): Promise<unknown> {
  const answer = await api.post("/api/receipts", { id: idOf(sent), to: [user] });
  const [receipt] = answer.json()["receipts"] as readonly { readonly push: string }[];
  return receipt?.push;
}

test.concurrent.each(SENDERS)(
  "R110: %s that never answers makes sendSecure a 202 in time",
  async (sender) => {
    const direct = createDirectSender(["adm"]);
    const api = await createApi("in process", { senders: [direct.sender] });
    try {
      const { platform, fail } = toTried(sender, api, direct);
      await registerPhone(api, "alice", platform);
      fail("never answers");
      const startedMs = performance.now();
      const sent = await api.send({ to: ["alice"], payload: "secret" });
      expect(performance.now() - startedMs).toBeLessThan(8_500); // its pushes have 6 s, the call 9 s
      expect(sent.status, sent.text).toBe(202);
      expect(sent.json()["push"]).toBe("pending");
    } finally {
      await api.close();
    }
  },
);

describe("a sender that takes no push", () => {
  const direct = createDirectSender(["adm"]);
  let api: Api;
  let proxy: StoreProxy;

  beforeAll(async () => {
    ({ api, proxy } = await createProxiedApi({ senders: [direct.sender] }));
  });
  afterAll(() => api.close());
  afterEach(() => {
    proxy.decide = () => undefined;
    api.hub.clearFaults();
    direct.answer = () => accepted;
  });

  describe.each(SENDERS)("%s", (sender) => {
    let tried: Tried;
    beforeAll(async () => {
      tried = toTried(sender, api, direct);
      await registerPhone(api, tried.platform, tried.platform);
    });
    const send = () => api.send({ to: [tried.platform], payload: 1 });
    const receipt = (sent: Answered) => receiptOf(api, sent, tried.platform);

    test.each(["cannot be reached", "asks to wait", "refuses our credentials"] as const)(
      "R110, R112: that %s makes sendSecure a 202, and gets the push once when it is back",
      async (outage) => {
        tried.fail(outage);
        const sent = await send();
        expect(sent.status, sent.text).toBe(202);
        expect(await receipt(sent)).toBe("pending");
        expect(tried.pushedTo(idOf(sent))).toEqual([]);
        tried.recover();
        api.advance(901);
        await redeliver(api);
        expect(tried.pushedTo(idOf(sent))).toEqual([`north.${tried.platform}`]);
        expect(await receipt(sent)).toBe("accepted");
        expect(await outboxRows(api)).toEqual([]);
      },
    );

    test("P3: that cannot be reached while a device changes its push channel gives it the push there", async () => {
      tried.fail("cannot be reached");
      const sent = await send();
      expect(await receipt(sent)).toBe("pending");
      await registerPhone(api, tried.platform, tried.platform, `north.new-${tried.platform}`);
      tried.recover();
      api.advance(901);
      await redeliver(api);
      expect(tried.pushedTo(idOf(sent))).toEqual([`north.new-${tried.platform}`]);
      expect(await receipt(sent)).toBe("accepted");
      await registerPhone(api, tried.platform, tried.platform);
    });

    test("that refuses a push for good, while the store marks nothing: a 202, and a receipt that says so later", async () => {
      tried.fail("refuses the push");
      proxy.decide = (request) => (isMark(request) ? storeError(403, "No") : undefined);
      const sent = await send();
      expect(sent.status, sent.text).toBe(202);
      expect(await receipt(sent)).toBe("pending");
      proxy.decide = () => undefined;
      api.advance(16); // its lease is over
      await redeliver(api);
      expect(await receipt(sent)).toBe("failed");
      expect(tried.pushedTo(idOf(sent))).toEqual([]);
    });

    test("that takes a push which the store then does not record: a 202, pushed at least once, and accepted later", async () => {
      let refused = 0;
      proxy.decide = ({ path, body }) => {
        if (!path.includes("$batch") || !/^DELETE /m.test(body)) return undefined;
        refused++;
        return storeError(403, "No");
      };
      const sent = await send();
      expect(sent.status, sent.text).toBe(202);
      expect(refused).toBeGreaterThan(0);
      expect(tried.pushedTo(idOf(sent))).toHaveLength(1);
      proxy.decide = () => undefined;
      api.advance(16);
      await redeliver(api);
      expect(new Set(tried.pushedTo(idOf(sent)))).toEqual(new Set([`north.${tried.platform}`]));
      expect(await receipt(sent)).toBe("accepted");
      expect(await outboxRows(api)).toEqual([]);
    });
  });

  test.each(["cannot be reached", "asks to wait", "refuses our credentials"] as const)(
    "one destination that %s keeps the other destination, and the other sender, from nothing",
    async (outage) => {
      // As many as are pushed to at once: the others' pushes begin when these have failed, and theirs come last.
      const atNorth = Array.from({ length: 8 }, (_, i) => `north.${i}`);
      const elsewhere = ["south.a", "south.b"];
      await Promise.all([...atNorth, ...elsewhere].map((user) => registerPhone(api, user, "adm", user)));
      await registerPhone(api, "hub", "xiaomi", "hub");
      const { fail, recover, pushedTo } = tryDirect(direct);
      fail(outage);
      const refuse = direct.answer;
      direct.answer = (address, message, context) =>
        toDestination(address) === "north" ? refuse(address, message, context) : accepted;
      const sent = await api.send({ to: [...atNorth, ...elsewhere, "hub"], payload: 1 });
      expect(sent.json()["push"]).toBe("pending");
      expect(pushedTo(idOf(sent)).toSorted()).toEqual(elsewhere);
      expect(channelsOf(api, idOf(sent))).toEqual(["hub"]);
      recover();
      api.advance(901);
      await redeliver(api);
      expect(pushedTo(idOf(sent)).toSorted()).toEqual([...atNorth, ...elsewhere]);
      expect(channelsOf(api, idOf(sent))).toEqual(["hub"]);
      for (const user of [...atNorth, ...elsewhere, "hub"])
        expect(await receiptOf(api, sent, user)).toBe("accepted");
    },
  );
});

test("R28: an issuer that is away makes a device's call a 503, never a 401", async () => {
  const api = await createApi("in process");
  try {
    const token = await api.issuer.buildUserToken("alice");
    await api.issuer.close();
    const answer = await api.call("GET", `/api/notifications/${"0".repeat(32)}`, {
      authorization: `Bearer ${token}`,
    });
    expectLater(answer, "issuer_unavailable");
  } finally {
    await api.close();
  }
});

describe("a store that fails at one step", () => {
  let proxy: StoreProxy;
  let api: Api;

  beforeAll(async () => {
    ({ proxy, api } = await createProxiedApi());
  });
  afterAll(async () => {
    await api.close();
  });
  afterEach(() => {
    proxy.decide = () => undefined;
  });

  test("when a push is marked: what was accepted stays accepted, and is marked later", async () => {
    proxy.decide = (request) => (isMark(request) ? storeError(403, "No") : undefined);
    const sent = await api.send({ to: ["nobody-yet"], payload: "kept" });
    expect(sent.status, sent.text).toBe(202);
    expect(proxy.requests.some(isMark)).toBe(true);
    const got = await api.as("nobody-yet", "GET", `/api/notifications/${String(sent.json()["id"])}`);
    expect(got.json()["payload"]).toBe("kept");
    proxy.decide = () => undefined;
    api.advance(16); // its lease is over
    await api.runTimer("redeliverPushes");
    const receipts = await api.post("/api/receipts", { id: sent.json()["id"], to: ["nobody-yet"] });
    expect(receipts.json()["receipts"]).toMatchObject([{ push: "noDevices" }]);
    expect(api.lines.some((line) => line.includes("fetch_not_marked"))).toBe(true);
  });

  test("when one day of a list is read: a 503, never the other days alone", async () => {
    await api.send({ to: ["lister"], payload: 1 });
    let asked = 0;
    proxy.decide = ({ path }) => {
      if (!path.includes("notifications20")) return undefined;
      asked++;
      return asked === 20 ? storeError(403, "No") : undefined;
    };
    expectLater(await api.as("lister", "GET", "/api/notifications"), "store_unavailable");
    expect(asked).toBeGreaterThanOrEqual(20);
  });

  test("R93: when the answer to a mark or a deletion is lost, it is made all the same, and answered so", async () => {
    const sent = await api.send({ to: ["alice"], payload: 1 });
    const path = `/api/notifications/${String(sent.json()["id"])}`;
    const seen = new Set<unknown>();
    proxy.decide = ({ method, path: asked, headers }) => {
      const id = headers["x-ms-client-request-id"];
      if (method === "GET" || !asked.includes("notifications20") || seen.has(id)) return undefined;
      seen.add(id);
      return { kind: "loseAnswer" };
    };
    expect((await api.as("alice", "PUT", `${path}/read`)).status).toBe(204);
    expect((await api.as("alice", "GET", path)).json()).toMatchObject({ read: true });
    expect((await api.as("alice", "DELETE", path)).status).toBe(204);
    expect((await api.as("alice", "GET", path)).status).toBe(404);
    expect(seen.size).toBe(3);
  });

  test("R100: a payload that expires while it is fetched is not given", async () => {
    const sent = await api.send({ to: ["alice"], payload: "late", ttl: 60 });
    const path = `/api/notifications/${String(sent.json()["id"])}`;
    proxy.decide = (request) => {
      if (isMark(request)) api.advance(61);
      return undefined;
    };
    const got = await api.as("alice", "GET", path);
    expect(got.status, got.text).toBe(404);
    api.advance(-61);
    proxy.decide = () => undefined;
    expect((await api.as("alice", "GET", path)).status).toBe(200);
  });

  test.each(["GET", "PUT"])(
    "P5: one that is deleted between the read and the mark of a %s is not given, nor said to be marked",
    async (method) => {
      const sent = await api.send({ to: ["alice"], payload: "late" });
      const path = `/api/notifications/${String(sent.json()["id"])}`;
      let isDeleted = false;
      proxy.decide = async (request) => {
        if (isDeleted || !isMark(request)) return undefined;
        isDeleted = true;
        expect((await api.as("alice", "DELETE", path)).status).toBe(204);
        return undefined;
      };
      const answer = await api.as("alice", method, method === "PUT" ? `${path}/read` : path);
      expect(isDeleted).toBe(true);
      expect(answer.status, answer.text).toBe(404);
    },
  );

  test("when one of a hundred rows is written: a 503, and none of the others can be fetched", async () => {
    const users = Array.from({ length: 100 }, (_, i) => `crowd-${i}`);
    let inserts = 0;
    let id = "";
    proxy.decide = ({ method, path, body }) => {
      if (method !== "POST" || !path.includes("notifications20")) return undefined;
      id = String((JSON.parse(body) as { readonly RowKey?: unknown }).RowKey);
      inserts++;
      return inserts === 90 ? storeError(403, "No") : undefined;
    };
    expectLater(await api.send({ to: users, payload: "half" }), "store_unavailable");
    expect(inserts).toBeGreaterThanOrEqual(90);
    for (const user of users.slice(0, 100))
      expect((await api.as(user, "GET", `/api/notifications/${id}`)).status, user).toBe(404);
  });
});

test("health is a 503 where no payload could be opened", async () => {
  const first = await createApi("in process");
  await first.send({ to: ["alice"], payload: 1 });
  // Another key-encryption key over the same tables.
  const second = await createApi("in process", { settings: { TABLE_PREFIX: first.tablePrefix } });
  try {
    const answer = await second.call("GET", "/api/health");
    expectLater(answer, "unhealthy");
    expect((await first.call("GET", "/api/health")).status).toBe(200);
  } finally {
    await first.close();
    await second.close();
  }
});
