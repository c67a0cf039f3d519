// sendSecure, getNotification and health as callers meet them, in process and through the local host.
import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Answered, type Api, createApi, WAYS, createProxiedApi } from "../helpers/api.ts";

const pathOf = (sent: Answered) => `/api/notifications/${String(sent.json()["id"])}`;

describe.each(WAYS)("%s", (way) => {
  let api: Api;

  beforeAll(async () => {
    api = await createApi(way);
  });
  afterAll(() => api.close());

  /** sendSecure with a body as it stands. */
  const sendText = (body: string) =>
    api.call(
      "POST",
      "/api/notifications",
      { "content-type": "application/json", "x-functions-key": api.functionKey },
      body,
    );
  test("R53: a notification that was sent has an address, an ID and times", async () => {
    const sent = await api.send({ to: ["alice"], payload: { text: "hello" }, ttl: 3600 });
    expect(sent.status, sent.text).toBe(201);
    const { id, createdAt, expiresAt, push } = sent.json();
    expect(id).toMatch(/^[0-9A-HJKMNP-TV-Z]{32}$/);
    expect(sent.headers.get("location")).toBe(`/api/notifications/${String(id)}`);
    expect(sent.headers.get("content-type")).toBe("application/json");
    expect(push).toBe("noDevices");
    expect(createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(Date.parse(String(expiresAt)) - Date.parse(String(createdAt))).toBe(3_600_000);

    const got = await api.as("alice", "GET", pathOf(sent));
    expect(got.status).toBe(200);
    expect(got.json()).toEqual({ id, payload: { text: "hello" }, createdAt, expiresAt, read: false });
  });

  test("without a ttl a notification lives for a week", async () => {
    const { createdAt, expiresAt } = (await api.send({ to: ["alice"], payload: 1 })).json();
    expect(Date.parse(String(expiresAt)) - Date.parse(String(createdAt))).toBe(604_800_000);
  });

  test.each([
    ["numbers as they were written", "[12345678901234567890, 1.10, -0, 1e400, 0.1e-7]"],
    ["white space", '{ "a" :\t1 ,\n"b" : [ ] }'],
    ["members that stand twice", '{"a":1,"a":2,"__proto__":{"x":1},"constructor":null}'],
    ["every kind of character", JSON.stringify("\u0000é\u0065\u0301 \u202e😀 </script>\u2028")],
    ["escapes", '"\\u0041\\ud83d\\ude00\\/"'],
    ["null", "null"],
    ["an empty text", '""'],
    ["32 levels", `${"[".repeat(31)}1${"]".repeat(31)}`],
  ])("R69, R70: a payload comes back to the byte: %s", async (_what, payload) => {
    const sent = await sendText(`{"to":["alice"],"payload":${payload}}`);
    expect(sent.status, sent.text).toBe(201);
    expect((await api.as("alice", "GET", pathOf(sent))).text).toContain(`"payload":${payload.trim()},`);
  });

  test.each([1, 2, 3, 4])(
    "R97: a payload of exactly the limit comes back, of %d-byte characters",
    async (bytes) => {
      const character = ["x", "é", "€", "😀"][bytes - 1] ?? "";
      const payload = `"${character.repeat(Math.floor((262_144 - 2) / bytes))}"`;
      const sent = await sendText(`{"to":["alice"],"payload":${payload}}`);
      expect(sent.status, sent.text).toBe(201);
      const got = await api.as("alice", "GET", pathOf(sent));
      expect(got.text.includes(`"payload":${payload},`)).toBe(true);
    },
  );

  test.each([
    ["a name in both letter cases", "Mixed", "mixed"],
    ["a stop and a line", "a.b", "a_b"],
    ["quotes of a filter", "o'neil", "o''neil"],
    ["an expression of tags", "a||b", "a"],
    ["a tag of the hub's", "$UserId:alice", "alice"],
  ])("R71, R90: users are told apart to the letter: %s", async (_what, user, other) => {
    const sent = await api.send({ to: [user], payload: "mine" });
    expect(sent.status, sent.text).toBe(201);
    expect((await api.as(user, "GET", pathOf(sent))).status).toBe(200);
    expect((await api.as(other, "GET", pathOf(sent))).status).toBe(404);
  });

  test("a GUID names one user in either letter case", async () => {
    const guid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    const sent = await api.send({ to: [guid.toUpperCase()], payload: 1 });
    expect((await api.as(guid, "GET", pathOf(sent))).status).toBe(200);
  });

  /** sendSecure with a body in chunks, whose length nobody is told. */
  function sendChunks(contentType: string, chunks: readonly string[]): Promise<number> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(`${api.url}/api/notifications`, {
        method: "POST",
        headers: { "content-type": contentType, "x-functions-key": api.functionKey },
      });
      request.on("response", (response) => resolve(response.resume().statusCode ?? 0)).on("error", reject);
      for (const chunk of chunks) request.write(chunk);
      request.end();
    });
  }

  test("R49: a body in chunks is taken, and its type in any letter case", async () => {
    const chunks = ['{"to":["alice"],', '"payload":1}'];
    expect(await sendChunks('Application/JSON;Charset="UTF-8"', chunks)).toBe(201);
  });

  // The last is longer than what is read on and thrown away: the answer comes while the rest is still on its way.
  test.each([5, 20, 80])(
    "R51: %d × 64 KiB over the limit are a 413 also when their length is not told",
    async (n) => {
      const filler = Array.from({ length: n }, () => "x".repeat(65_536));
      const chunks = ['{"to":["alice"],"payload":"', ...filler, '"}'];
      expect(await sendChunks("application/json", chunks)).toBe(413);
    },
  );

  test("a body that nobody read keeps no later request waiting", async () => {
    const big = JSON.stringify({ platform: "fcmv1", pushChannel: "x".repeat(2_000_000) });
    for (let i = 0; i < 5; i++) {
      const headers = { "content-type": "application/json", authorization: "Bearer a.b.c" };
      expect((await api.call("PUT", "/api/installations/phone", headers, big)).status).toBe(401);
      const answer = await api.as("alice", "PUT", "/api/installations/phone", JSON.parse(big));
      expect(answer.status).toBe(413);
      expect((await api.call("GET", "/api/health")).status).toBe(200);
    }
  });

  test("a bad function key is the host's bare 401, and nothing is sent", async () => {
    const before = api.hub.requests.length;
    for (const key of ["wrong", api.functionKey.slice(1), `${api.functionKey}x`, ""]) {
      const answer = await api.call(
        "POST",
        "/api/notifications",
        { "content-type": "application/json", "x-functions-key": key },
        '{"to":["alice"],"payload":1}',
      );
      expect(answer.status).toBe(401);
      expect(answer.text).toBe("");
    }
    expect(api.hub.requests).toHaveLength(before);
  });

  test("a user's token does not send", async () => {
    const answer = await api.as("alice", "POST", "/api/notifications", { to: ["bob"], payload: 1 });
    expect(answer.status).toBe(401);
  });

  test.each([
    ["?userId=bob", 400],
    ["?code=x", 400],
    ["?a=1&a=2", 400],
    ["?", 404],
  ])("R75: a query of %j on getNotification is %d", async (query, status) => {
    const answer = await api.as("alice", "GET", `/api/notifications/${"0".repeat(32)}${query}`);
    expect(answer.status).toBe(status);
  });

  test.each([
    ["NUL", "%00"],
    ["a line break", "%0d%0a"],
    ["a quote", "'"],
    ["a per cent sign", "%25"],
    ["a slash", "a%2Fb"],
    ["a backslash", "a%5Cb"],
    ["a number sign", "a%23"],
    ["4,000 characters", "x".repeat(4000)],
    ["an unpaired surrogate", "%ed%a0%80"],
  ])("R72: %s is no ID, and is answered like an unknown one", async (_what, id) => {
    const answer = await api.as("alice", "GET", `/api/notifications/${id}`);
    expect(answer.status, answer.text).toBe(404);
  });

  test.each([
    ["PATCH", "/api/notifications"],
    ["HEAD", `/api/notifications/${"0".repeat(32)}`],
    ["GET", "/api/nowhere"],
    ["GET", "/api//health"],
  ])("R46, R47: %s %s is the host's 404", async (method, path) => {
    const answer = await api.call(method, path, { "x-functions-key": api.functionKey });
    expect(answer.status).toBe(404);
  });

  test("R54, R55, R56, R59: nothing is cached, sniffed, told or packed", async () => {
    const sent = await api.send({ to: ["alice"], payload: "x".repeat(5000) });
    const token = await api.issuer.buildUserToken("alice");
    const answers = [
      sent,
      await api.call("GET", pathOf(sent), {
        authorization: `Bearer ${token}`,
        "accept-encoding": "gzip, br",
        range: "bytes=0-10",
        "if-none-match": "*",
      }),
      await api.call("GET", pathOf(sent)),
      await api.as("mallory", "GET", pathOf(sent)),
      await sendText("{"),
      await api.call("GET", "/api/health"),
    ];
    expect(answers.map(({ status }) => status)).toEqual([201, 200, 401, 404, 400, 200]);
    for (const { headers } of answers) {
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("x-correlation-id")).toMatch(/^[0-9a-f-]{36}$/);
      for (const name of [
        "etag",
        "last-modified",
        "set-cookie",
        "server",
        "x-powered-by",
        "content-encoding",
      ])
        expect(headers.get(name), name).toBeNull();
    }
  });

  test("R25, R58: identity and override headers from outside mean nothing", async () => {
    const sent = await api.send({ to: ["alice"], payload: 1 });
    const forged = {
      "x-ms-client-principal": Buffer.from('{"userId":"alice"}').toString("base64"),
      "x-ms-client-principal-id": "alice",
      "x-user-id": "alice",
      "x-http-method-override": "DELETE",
      "x-forwarded-host": "evil.example",
    };
    expect((await api.call("GET", pathOf(sent), forged)).status).toBe(401);
    const authorization = `Bearer ${await api.issuer.buildUserToken("bob")}`;
    expect((await api.call("GET", pathOf(sent), { ...forged, authorization })).status).toBe(404);
    expect((await api.as("alice", "GET", pathOf(sent))).status).toBe(200);
  });

  test.each(["health", "push-config", "openapi.json"])("HEAD /api/%s is GET without a body", async (name) => {
    const [head, get] = [await api.call("HEAD", `/api/${name}`), await api.call("GET", `/api/${name}`)];
    expect([head.status, head.text]).toEqual([200, ""]);
    for (const header of ["content-type", "cache-control", "x-content-type-options"])
      expect(head.headers.get(header), header).toBe(get.headers.get(header));
    expect(head.headers.get("x-correlation-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test.each(["/", "/?unread=true", "/%20", "/.", "/%20/", "/%2e/"])(
    "an ID that is empty or blank is an unknown one, not the list: notifications%s",
    async (rest) => {
      const answer = await api.as("alice", "GET", `/api/notifications${rest}`);
      expect([answer.status, answer.json()["reason"]]).toEqual([404, "notification_unknown"]);
    },
  );

  test("optional members that are null count as absent", async () => {
    const nothing = { ttl: null, urgency: null, topic: null, display: null };
    const sent = await api.send({ to: ["alice"], payload: null, ...nothing });
    expect(sent.status, sent.text).toBe(201);
    const { createdAt, expiresAt } = sent.json();
    expect(Date.parse(String(expiresAt)) - Date.parse(String(createdAt))).toBe(604_800_000);
    const vapidPublicKey =
      "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const registered = await api.as("alice", "PUT", "/api/installations/browser-1", {
      platform: "browser",
      pushChannel: {
        endpoint: "https://push.example.net/push/null",
        p256dh: vapidPublicKey,
        auth: "BTBZMqHH6r4Tts7J_aSIgg",
      },
      vapidPublicKey: null,
    });
    expect(registered.status, registered.text).toBe(201);
  });

  const refusals: readonly (readonly [string, object, string, string])[] = [
    [
      "a user id",
      { to: "alice", payload: 1 },
      "body_invalid",
      "to: must be an array of 1 to 100 user ids, also for one user",
    ],
    [
      "an unknown member",
      { to: ["alice"], payload: 1, expiry: 1 },
      "body_invalid",
      "expiry: is not a known member",
    ],
    [
      "too much",
      { to: ["alice"], payload: "x".repeat(262_143) },
      "payload_too_large",
      "payload: must be at most 262144 bytes for one recipient",
    ],
    [
      "too much for so many",
      { to: Array.from({ length: 100 }, (_, i) => `u${i}`), payload: "x".repeat(100_000) },
      "payload_too_large",
      "payload: must be at most 83886 bytes for 100 recipients",
    ],
    [
      "a body that is too long",
      { to: ["alice"], payload: "x".repeat(400_000) },
      "body_too_large",
      "the body: must be at most 327680 bytes",
    ],
  ];
  test.each(refusals)(
    "R65, P8: %s is refused with the member, the rule and the limit",
    async (_what, body, reason, detail) => {
      expect((await api.send(body)).json()).toMatchObject({ reason, detail });
    },
  );

  test("R65, P8: parameters, headers and platforms are named too", async () => {
    const details = [
      (await api.as("alice", "GET", "/api/notifications?limit=0")).json()["detail"],
      (await api.as("alice", "GET", "/api/notifications?userId=bob")).json()["detail"],
      (await api.as("alice", "GET", "/api/notifications?cursor=x")).json()["detail"],
      (await api.send({ to: ["alice"], payload: 1 }, { "idempotency-key": "a,b" })).json()["detail"],
      (await api.as("alice", "PUT", "/api/installations/a%20b", {})).json()["detail"],
      (await api.as("alice", "PUT", "/api/installations/a", { platform: "gcm" })).json()["detail"],
      (
        await api.as("alice", "PUT", "/api/installations/a", {
          platform: "mpns",
          pushChannel: "https://a.example/b",
        })
      ).json()["detail"],
    ];
    expect(details).toEqual([
      "limit: must be a whole number from 1 to 100 in decimal digits",
      "userId: is not a known parameter",
      expect.stringMatching(/^cursor: must be /),
      expect.stringMatching(/^Idempotency-Key: must be 1 to 255 /),
      "installationId: must be 1 to 64 of A-Z a-z 0-9 . _ -",
      "platform: must be one of apns, fcmv1, wns, adm, xiaomi, browser",
      "platform: must be one of apns, fcmv1, wns, adm, xiaomi, browser",
    ]);
  });

  test("health needs no credential and tells nothing but ok", async () => {
    const answer = await api.call("GET", "/api/health");
    expect(answer.status).toBe(200);
    expect(answer.json()).toEqual({ status: "ok" });
  });

  test.each([
    ["503 with Retry-After", { status: 503, headers: { "retry-after": "17" } }],
    ["401", { status: 401 }],
    ["reset", "reset"],
  ] as const)(
    "R110: a hub that answers %s makes sendSecure a 202, and the payload is there",
    async (what, answer) => {
      const user = `u${what.replaceAll(" ", "-")}`;
      await api.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
      api.hub.fail({ on: "send", answer });
      const sent = await api.send({ to: [user], payload: "secret" });
      expect(sent.status, sent.text).toBe(202);
      expect(sent.json()).toMatchObject({ push: "pending" });
      expect(sent.text).not.toContain("secret");
      expect((await api.as(user, "GET", pathOf(sent))).json()["payload"]).toBe("secret");
    },
  );

  test("R143: what callers write makes no line of its own in the log", async () => {
    await api.as("alice", "GET", `/api/notifications/%0aFAKE%1b[31m`);
    for (const line of api.lines) {
      expect(line.startsWith("FAKE")).toBe(false);
      expect(line).not.toContain("\u001b");
    }
  });
});

test("P5, R100: an expired payload is not given, from expiresAt on, to the millisecond", async () => {
  const api = await createApi("in process", { standsStill: true });
  try {
    const sent = await api.send({ to: ["alice"], payload: 1, ttl: 60 });
    api.advance(59.999);
    expect((await api.as("alice", "GET", pathOf(sent))).status).toBe(200);
    api.advance(0.001);
    expect((await api.as("alice", "GET", pathOf(sent))).status).toBe(404);
  } finally {
    await api.close();
  }
});

test("a store whose clock is wrong locks nobody out, and revives no token", async () => {
  const { proxy, api } = await createProxiedApi({ listensToStore: true });
  try {
    const sent = await api.send({ to: ["alice"], payload: 1 });
    for (const hours of [3, -5]) {
      const date = new Date(Date.now() + hours * 3_600_000).toUTCString();
      proxy.answerHeaders = () => ({ date });
      await api.as("alice", "GET", pathOf(sent));
      expect((await api.as("alice", "GET", pathOf(sent))).status, `${hours} hours`).toBe(200);
    }
  } finally {
    await api.close();
  }
});

test("R39: with SEND_AUTH=token a function key never stands in for the token", async () => {
  const api = await createApi("through the local host", { settings: { SEND_AUTH: "token" } });
  try {
    const body = JSON.stringify({ to: ["alice"], payload: 1 });
    const json = { "content-type": "application/json" };
    const byKey = await api.call(
      "POST",
      "/api/notifications",
      { ...json, "x-functions-key": api.functionKey },
      body,
    );
    expect(byKey.status).toBe(401);
    expect(byKey.headers.get("www-authenticate")).toMatch(/^Bearer/);

    const token = async (form: Readonly<Record<string, string>>) => {
      const answer = await fetch(`${api.issuer.url}/token`, {
        method: "POST",
        body: new URLSearchParams(form),
      });
      return ((await answer.json()) as { readonly access_token: string }).access_token;
    };
    const user = await token({ grant_type: "password", username: "alice" });
    const byUser = await api.call(
      "POST",
      "/api/notifications",
      { ...json, authorization: `Bearer ${user}` },
      body,
    );
    expect(byUser.status).toBe(403);

    const sender = await token({ grant_type: "client_credentials", client_id: "backend" });
    const authorization = `Bearer ${sender}`;
    const sent = await api.call("POST", "/api/notifications", { ...json, authorization }, body);
    expect(sent.status, sent.text).toBe(201);
    // A sender's token opens no user route (R35).
    const path = `/api/notifications/${String(sent.json()["id"])}`;
    expect((await api.call("GET", path, { authorization })).status).toBe(403);
  } finally {
    await api.close();
  }
});
