import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAppleNotification } from "@azure/notification-hubs";
import {
  createHubEmulator,
  type HubEmulator,
} from "../../../packages/notification-hubs-emulator/emulator.ts";
import { signSas, verifySas } from "../../../packages/notification-hubs-emulator/sas.ts";
import { createSdkClient, createToken, keyOf, request, startHub, toDetail } from "./clients.ts";

// docs/notification-hubs-protocol.md §2.4, made with the SDK's own signer
test.each([
  {
    audience: "https%3A%2F%2Fcontoso.servicebus.windows.net%2F",
    signature: "War7drl9pej7gQWL1t%2B8fDS%2BHTITLz89QqqjsQqUn6U%3D",
  },
  {
    audience: "https%3A%2F%2Fcontoso.servicebus.windows.net%2Fmyhub",
    signature: "8JBErJmtjj0L73fWGpjxq0aAf84nczO1r%2BGWXNK4S84%3D",
  },
  {
    audience: "http%3A%2F%2Flocalhost%3A8080%2F",
    signature: "Ly5y0XzHxB4HRrT%2BR7KUnvE9j1qHyDadtqVTZBZzZeg%3D",
  },
])("the signature over $audience is the SDK's", ({ audience, signature }) => {
  expect(encodeURIComponent(signSas(audience, "1700000000", "k3yMaterial+/="))).toBe(signature);
});

describe("a verified token", () => {
  const key = "k3yMaterial+/=";
  const rules = [{ name: "Rule One", primaryKey: "other", secondaryKey: key, rights: ["Send"] as const }];
  const base = { rules, hosts: ["localhost:8080"], segments: ["MyHub", "messages"] };
  const verify = (authorization: string, atSeconds = 1_699_999_999) =>
    verifySas({ ...base, authorization, now: new Date(atSeconds * 1000) });
  const sign = (audience: string) => encodeURIComponent(signSas(audience, "1700000000", key));

  test.each([
    {
      what: "lower-case escapes and a form-encoded rule (.NET)",
      audience: "http%3a%2f%2flocalhost%3a8080%2f",
    },
    { what: "the hub as audience, in another case", audience: "sb%3A%2F%2FLOCALHOST%3A8080%2Fmyhub" },
    {
      what: "the very request as audience, with a query",
      audience: "http%3A%2F%2Flocalhost%3A8080%2Fmyhub%2Fmessages%2F%3Fx",
    },
  ])("may have $what", ({ audience }) => {
    const fields = [`sig=${sign(audience)}`, "se=1700000000", "skn=Rule+One", `sr=${audience}`];
    expect(verify(`SharedAccessSignature ${fields.join("&")}`)).toEqual({ ok: true, value: rules[0] });
  });

  test("is good until the second of its expiry and not from it on", () => {
    const audience = "http%3A%2F%2Flocalhost%3A8080%2F";
    const token = `SharedAccessSignature sr=${audience}&sig=${sign(audience)}&se=1700000000&skn=Rule%20One`;
    expect(verify(token, 1_699_999_999).ok).toBe(true);
    expect(verify(token, 1_700_000_000)).toEqual({ ok: false, error: { reason: "token_expired" } });
    expect(verify(token, 1_699_990_000)).toEqual({ ok: false, error: { reason: "token_too_long" } });
  });

  test("of a hub's rule is never checked against the namespace's rule of the same name", () => {
    const audience = "http%3A%2F%2Flocalhost%3A8080%2F";
    const hubRule = { name: "Rule One", primaryKey: "the hub's", rights: ["Listen"] as const };
    const authorization = `SharedAccessSignature sr=${audience}&sig=${sign(audience)}&se=1700000000&skn=Rule%20One`;
    const namespaceRule = {
      name: "Rule One",
      primaryKey: key,
      rights: ["Send"],
      level: "namespace",
    } as const;
    const now = new Date(1_699_999_999_000);
    expect(verifySas({ ...base, authorization, now, rules: [namespaceRule] }).ok).toBe(true);
    expect(verifySas({ ...base, authorization, now, rules: [namespaceRule, hubRule] }).ok).toBe(false);
  });
});

test("a token for a proxy's address counts once the hub was told of the proxy", async () => {
  const hub = await startHub();
  const token = () => createToken(hub, { audience: "http://127.0.0.1:1/" });
  const ask = () => request(hub, "GET", "installations/i1", { authorization: token() });
  expect((await ask()).status).toBe(401);
  const [endpoint, ...rest] = hub.connectionStringVia(1).split(";");
  expect(endpoint).toBe("Endpoint=http://127.0.0.1:1/");
  expect(rest).toEqual(hub.connectionString.split(";").slice(1));
  expect((await ask()).status).toBe(404);
});

describe("over HTTP", () => {
  let hub: HubEmulator;
  beforeAll(async () => {
    hub = await createHubEmulator();
  });
  afterAll(() => hub.close());

  const INVALID_SIGNATURE = "InvalidSignature: The token has an invalid signature.";
  const INVALID_AUDIENCE =
    "InvalidAudience: The authorization header contains a token with a wrong audience.";
  const MALFORMED = "MalformedToken: The authorization header is malformed.";

  test.each<{ what: string; token: () => string | null; detail: string }>([
    { what: "no token", token: () => null, detail: "MissingToken: The authorization header was not found." },
    {
      what: "an expired token",
      token: () => createToken(hub, { expiry: nowSeconds() - 60 }),
      detail: "ExpiredToken: The token is expired.",
    },
    {
      what: "a token for a day",
      token: () => createToken(hub, { expiry: nowSeconds() + 86_400 }),
      detail: "TokenTooLong: The token is valid for more than an hour, which this emulator refuses.",
    },
    {
      what: "a token signed with another key",
      token: () => createToken(hub, { key: keyOf(hub, "DefaultListenSharedAccessSignature") }),
      detail: INVALID_SIGNATURE,
    },
    {
      what: "a token signed with the key's bytes instead of its text",
      token: () =>
        createToken(hub, { key: Buffer.from(keyOf(hub, "ListenAndSend"), "base64").toString("latin1") }),
      detail: INVALID_SIGNATURE,
    },
    {
      what: "a token of a rule that is not there",
      token: () => createToken(hub, { ruleName: "Nobody", key: "k" }),
      detail: INVALID_SIGNATURE,
    },
    {
      what: "a token whose expiry was changed",
      token: () =>
        createToken(hub, { expiry: nowSeconds() + 60 }).replace(/se=\d+/, `se=${nowSeconds() + 3000}`),
      detail: INVALID_SIGNATURE,
    },
    {
      what: "a token whose rule was changed",
      token: () => createToken(hub).replace("skn=ListenAndSend", "skn=DefaultFullSharedAccessSignature"),
      detail: INVALID_SIGNATURE,
    },
    {
      what: "a token whose audience was re-encoded after signing",
      token: () => createToken(hub).replace("%3A%2F%2F", "%3a%2f%2f"),
      detail: INVALID_SIGNATURE,
    },
    {
      what: "a token for another hub",
      token: () => createToken(hub, { audience: `${hub.url}other-hub` }),
      detail: INVALID_AUDIENCE,
    },
    {
      what: "a token for a hub whose name begins with ours",
      token: () => createToken(hub, { audience: `${hub.url}${hub.hubName}2` }),
      detail: INVALID_AUDIENCE,
    },
    {
      what: "a token for a hub whose name ours begins with",
      token: () => createToken(hub, { audience: `${hub.url}${hub.hubName.slice(0, -1)}` }),
      detail: INVALID_AUDIENCE,
    },
    {
      what: "a token for another host",
      token: () => createToken(hub, { audience: "https://contoso.servicebus.windows.net/" }),
      detail: INVALID_AUDIENCE,
    },
    {
      what: "a token for a path below the request's",
      token: () => createToken(hub, { audience: `${hub.url}${hub.hubName}/installations/i1/deeper` }),
      detail: INVALID_AUDIENCE,
    },
    {
      what: "a token for another installation",
      token: () => createToken(hub, { audience: `${hub.url}${hub.hubName}/installations/i2` }),
      detail: INVALID_AUDIENCE,
    },
    {
      what: "a token whose audience is not encoded",
      token: () => {
        const expiry = String(nowSeconds() + 60);
        const signature = encodeURIComponent(signSas(hub.url, expiry, keyOf(hub, "ListenAndSend")));
        return `SharedAccessSignature sr=${hub.url}&sig=${signature}&se=${expiry}&skn=ListenAndSend`;
      },
      detail: MALFORMED,
    },
    { what: "a bearer token", token: () => "Bearer abc", detail: MALFORMED },
    { what: "the word alone", token: () => "SharedAccessSignature", detail: MALFORMED },
    { what: "an unknown field", token: () => `${createToken(hub)}&x=1`, detail: MALFORMED },
    { what: "a second signature", token: () => `${createToken(hub)}&sig=x`, detail: MALFORMED },
    { what: "a broken escape", token: () => createToken(hub).replace("%3A", "%3"), detail: MALFORMED },
    {
      what: "an expiry that is no number",
      token: () => createToken(hub).replace(/se=/, "se=0x"),
      detail: MALFORMED,
    },
    ...["sr", "sig", "se", "skn"].map((field) => ({
      what: `no ${field}`,
      token: () =>
        `SharedAccessSignature ${createToken(hub)
          .replace("SharedAccessSignature ", "")
          .split("&")
          .filter((part) => !part.startsWith(`${field}=`))
          .join("&")}`,
      detail: MALFORMED,
    })),
  ])("$what is refused with 401", async ({ token, detail }) => {
    const answer = await request(hub, "GET", "installations/i1", { authorization: token() });
    const text = await answer.text();
    expect(toDetail(text)).toBe(detail);
    expect(text).toContain("<Error><Code>401</Code>");
    expect([answer.status, answer.headers.get("content-type")]).toEqual([
      401,
      "application/xml; charset=utf-8",
    ]);
    expect(answer.headers.get("trackingid")).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.headers.get("x-ms-correlation-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("a token whose signature was not encoded is refused when it holds a plus", async () => {
    // Some expiry gives a signature with a plus in it.
    const findToken = () => {
      for (let seconds = 60; ; seconds++) {
        const token = createToken(hub, { expiry: nowSeconds() + seconds });
        if (token.includes("%2B")) return token.replaceAll("%2B", "+");
      }
    };
    const answer = await request(hub, "GET", "installations/i1", { authorization: findToken() });
    expect(toDetail(await answer.text())).toBe(INVALID_SIGNATURE);
  });

  test("a rule that may only listen is refused a send with 403 and no body", async () => {
    const authorization = createToken(hub, { ruleName: "DefaultListenSharedAccessSignature" });
    const headers = {
      "ServiceBusNotification-Format": "apple",
      "ServiceBusNotification-Tags": "t",
      "Content-Type": "application/json",
    };
    const answer = await request(hub, "POST", "messages", { authorization, headers, body: "{}" });
    expect([answer.status, answer.headers.get("content-length"), await answer.text()]).toEqual([
      403,
      "0",
      "",
    ]);
    expect(answer.headers.get("server")).toBe("Kestrel");
    const send = createSdkClient(hub, "DefaultListenSharedAccessSignature").sendNotification(
      createAppleNotification({ body: {} }),
      { tagExpression: "t" },
    );
    await expect(send).rejects.toMatchObject({
      statusCode: 403,
      message: "operation failed with status 403",
    });
  });

  test("a token of .NET, whose audience has no port, is good", async () => {
    const authorization = createToken(hub, { audience: `http://127.0.0.1/${hub.hubName}/installations/i1` });
    expect((await request(hub, "GET", "installations/i1", { authorization })).status).toBe(404);
  });

  test("an older api-version answers a missing right with 401 and a text", async () => {
    const authorization = createToken(hub, { ruleName: "DefaultListenSharedAccessSignature" });
    const answer = await request(hub, "POST", "messages", { authorization, query: "api-version=2015-01" });
    expect([answer.status, toDetail(await answer.text())]).toEqual([
      401,
      "Send claim is required for this operation.",
    ]);
  });

  test("a rule that may only send is refused an installation", async () => {
    const rule = { name: "Send", primaryKey: "send", rights: ["Send"] as const };
    const both = { name: "Both", primaryKey: "both", rights: ["Listen", "Send"] as const };
    const other = await createHubEmulator({ rules: [rule, both] });
    try {
      const status = async (ruleName: string) => {
        const authorization = createToken(other, { ruleName });
        return (await request(other, "GET", "installations/i1", { authorization })).status;
      };
      expect([await status("Send"), await status("Both")]).toEqual([403, 404]);
    } finally {
      await other.close();
    }
  });

  test("rules of which none may both listen and send are refused", async () => {
    const rules = [{ name: "Send", primaryKey: "send", rights: ["Send"] as const }];
    await expect(createHubEmulator({ rules })).rejects.toThrow("no rule of the hub may both listen and send");
  });
});

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
