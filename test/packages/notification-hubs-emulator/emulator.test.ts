import { platforms } from "../../../packages/notification-hubs-emulator/platforms.ts";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { describe, expect, test } from "vitest";
import { createHubEmulator } from "../../../packages/notification-hubs-emulator/emulator.ts";
import { createToken, register, request, sendTo, startHub, toDetail } from "./clients.ts";

const NOT_SERVED = "The operation exists, but not in this emulator.";

describe("a request", () => {
  test("is kept as its bytes came in", async () => {
    const hub = await startHub();
    await request(hub, "PUT", "installations/i%31", { headers: { "X-Extra": "Ünï" }, body: "not JSON č" });
    expect(hub.requests).toHaveLength(1);
    const [received] = hub.requests;
    expect(received).toMatchObject({
      method: "PUT",
      path: `/${hub.hubName}/installations/i%31?api-version=2020-06`,
      status: 400,
      refusal: "description_invalid",
    });
    expect(received?.body).toEqual(Buffer.from("not JSON č"));
    const at = received?.rawHeaders.findIndex((text) => text.toLowerCase() === "x-extra") ?? 0;
    expect(received?.rawHeaders[at + 1]).toBe("Ünï");
  });

  test.each([
    { method: "GET", path: "installations/nobody", status: 404, detail: "Installation not found" },
    { method: "GET", path: "nothing", status: 404, detail: "There is no such operation." },
    { method: "GET", path: "", status: 404, detail: "There is no such operation." },
    {
      method: "POST",
      path: "installations/i1",
      status: 405,
      detail: "The method is not allowed for this path.",
    },
    { method: "GET", path: "INSTALLATIONS/nobody/", status: 404, detail: "Installation not found" },
    { method: "POST", path: "registrationIDs", status: 501, detail: NOT_SERVED },
    { method: "GET", path: "registrations", status: 501, detail: NOT_SERVED },
    { method: "PUT", path: "registrations/1", status: 501, detail: NOT_SERVED },
  ])("$method $path is answered $status", async ({ method, path, status, detail }) => {
    const hub = await startHub();
    const answer = await request(hub, method, path);
    expect([answer.status, toDetail(await answer.text())]).toEqual([status, detail]);
  });

  test.each([
    { path: "jobs" },
    { path: "jobs/1" },
    { path: "feedbackcontainer" },
    { path: "tags/t/registrations" },
  ])("for $path needs the right to manage, and is then answered 501", async ({ path }) => {
    const hub = await startHub();
    const authorization = createToken(hub, { ruleName: "DefaultFullSharedAccessSignature" });
    expect((await request(hub, "GET", path)).status).toBe(403);
    expect((await request(hub, "GET", path, { authorization })).status).toBe(501);
  });

  test("for an id with characters that are not allowed is refused", async () => {
    const hub = await startHub();
    for (const method of ["PUT", "GET", "PATCH", "DELETE"])
      for (const id of ["a%20b", "a%2Fb", "a%00", "%zz", "%C3%A4"]) {
        const answer = await request(
          hub,
          method,
          `installations/${id}`,
          method === "GET" ? {} : { body: "{}" },
        );
        expect([answer.status, toDetail(await answer.text())]).toEqual([
          400,
          expect.stringContaining("not allowed by Service Bus"),
        ]);
      }
  });

  test("for another hub is answered 404", async () => {
    const hub = await startHub();
    const answer = await fetch(`${hub.url}other/messages?api-version=2020-06`, { method: "POST" });
    expect([answer.status, toDetail(await answer.text())]).toEqual([
      404,
      "No service is hosted at the specified address.",
    ]);
  });

  test.each([{ query: "" }, { query: "api-version=2021-01" }, { query: "api-version=" }])(
    "with the query '$query' is refused with the api-versions that there are",
    async ({ query }) => {
      const hub = await startHub();
      const answer = await request(hub, "GET", "installations/i1", { query });
      expect([answer.status, toDetail(await answer.text())]).toEqual([
        400,
        expect.stringContaining("2020-06"),
      ]);
    },
  );

  test.each(["2015-01", "2017-04"])("of the older api-version %s is served", async (version) => {
    const hub = await startHub();
    expect((await request(hub, "GET", "installations/i1", { query: `api-version=${version}` })).status).toBe(
      404,
    );
  });
});

describe("inspection", () => {
  test("shows deliveries and installations, newest last, without a token, and is no request", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    await register(hub, "i2", "t");
    await sendTo(hub, "i0 || $InstallationId:{i2}");
    await sendTo(hub, "$InstallationId:{i1}");
    const before = hub.requests.length;
    const shown = async (what: string) => (await fetch(`${hub.url}$inspect/${what}`)).json();
    expect(await shown("deliveries")).toEqual(hub.deliveries);
    expect(await shown("deliveries")).toMatchObject([{ installationId: "i2" }, { installationId: "i1" }]);
    expect(await shown("installations")).toMatchObject([{ installationId: "i1" }, { installationId: "i2" }]);
    expect(hub.requests).toHaveLength(before);
  });

  test("is not for pages that reach this machine under another name, and changes nothing", async () => {
    const hub = await startHub();
    const outgoing = httpRequest(`${hub.url}$inspect/installations`, {
      headers: { host: "evil.test" },
    }).end();
    const [answer] = await once(outgoing, "response");
    expect(answer).toMatchObject({ statusCode: 404 });
    expect((await fetch(`${hub.url}$inspect/installations`, { method: "DELETE" })).status).toBe(404);
    expect((await fetch(`${hub.url}$inspect`)).status).toBe(404);
  });
});

test("a port that is taken is an error", async () => {
  const hub = await startHub();
  await expect(createHubEmulator({ port: Number(new URL(hub.url).port) })).rejects.toMatchObject({
    code: "EADDRINUSE",
  });
});

test("the rules are those of a new hub, and one that may listen and send", async () => {
  const hub = await startHub();
  expect(hub.connectionString).toBe(hub.connectionStringOf("ListenAndSend"));
  expect(hub.connectionString).toMatch(
    /^Endpoint=http:\/\/127\.0\.0\.1:\d+\/;SharedAccessKeyName=ListenAndSend;SharedAccessKey=[A-Za-z0-9+/]{43}=$/,
  );
  expect(hub.connectionStringOf("DefaultFullSharedAccessSignature")).not.toBe(hub.connectionString);
  expect(() => hub.connectionStringOf("Nobody")).toThrow("the hub has no rule Nobody");
});

test("both keys of a rule are good", async () => {
  const rule = { name: "R", primaryKey: "one", secondaryKey: "two", rights: ["Listen", "Send"] as const };
  const hub = await startHub({ rules: [rule] });
  for (const [key, status] of [
    ["one", 404],
    ["two", 404],
    ["three", 401],
  ] as const) {
    const authorization = createToken(hub, { ruleName: "R", key });
    expect((await request(hub, "GET", "installations/i1", { authorization })).status).toBe(status);
  }
});

test("telemetry counts come in the order in which .NET reads them", () => {
  const names = Object.values(platforms).map(({ counts }) => counts.replace("OutcomeCounts", ""));
  expect(names.slice(0, 6)).toEqual(["Apns", "Mpns", "Wns", "Gcm", "Adm", "FcmV1"]);
});
