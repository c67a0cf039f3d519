// What callers read when their input is refused: the member, the rule and the limit, and nothing of a value (R65).
import type { HttpRequest } from "@azure/functions";
import { describe, expect, test } from "vitest";
import type * as z from "zod";
import { parseInput } from "../../../functions/http/parseInput.ts";
import { checkQuery } from "../../../functions/http/query.ts";
import { InstallationRequest } from "../../../shared/domain/installation.ts";
import {
  EraseRequest,
  ListQuery,
  ReceiptsRequest,
  SendRequest,
} from "../../../shared/domain/notification.ts";

const USERS = "to: must be an array of 1 to 100 user ids, also for one user";
const TTL = "ttl: must be a whole number of seconds from 60 to 2419200";
const send = (members: object) => ({ to: ["ann"], payload: 1, ...members });
const detailOf = (schema: z.ZodType, value: unknown, rules?: Readonly<Record<string, string>>) => {
  const parsed = parseInput("body_invalid", schema, value, rules);
  return parsed.ok ? undefined : parsed.error.detail;
};

describe("R65: a body that is refused names the member and the rule", () => {
  test.each([
    [SendRequest, send({ to: "ann" }), USERS],
    [ReceiptsRequest, { id: "a", to: "ann" }, USERS],
    [EraseRequest, { to: "ann" }, USERS],
    [EraseRequest, { to: [] }, USERS],
    [EraseRequest, { to: Array.from({ length: 101 }, String) }, USERS],
    [EraseRequest, { to: ["a", "é"] }, "to.1: must be 1 to 256 visible ASCII characters"],
    [EraseRequest, {}, "to: is missing"],
    [SendRequest, { to: ["ann"] }, "payload: is missing"],
    [SendRequest, send({ ttl: 59 }), TTL],
    [SendRequest, send({ ttl: 2_419_201 }), TTL],
    [SendRequest, send({ ttl: 60.5 }), TTL],
    [SendRequest, send({ ttl: "60" }), TTL],
    [SendRequest, send({ urgency: "urgent" }), "urgency: must be one of very-low, low, normal, high"],
    [SendRequest, send({ display: 1 }), "display: must be one of alert, silent"],
    [SendRequest, send({ topic: "a.b" }), "topic: must be 1 to 32 of A-Z a-z 0-9 _ -"],
    [SendRequest, send({ topic: 1 }), "topic: must be a string"],
    [SendRequest, [], "the body: must be an object"],
    [SendRequest, null, "the body: must be an object"],
    [ReceiptsRequest, { id: 1, to: ["ann"] }, "id: must be a string"],
  ] as const)("row %#", (schema, value, detail) => {
    expect(detailOf(schema, value)).toBe(detail);
  });

  test("an unknown member is named if its name is a short identifier, and not otherwise", () => {
    const most = "x".repeat(32);
    expect(detailOf(SendRequest, send({ expiry: 1 }))).toBe("expiry: is not a known member");
    expect(detailOf(SendRequest, send({ [most]: 1 }))).toBe(`${most}: is not a known member`);
    for (const name of [`${most}x`, "", "a b", "a.b", "<b>", "é", "a\n", "to\u200b"])
      expect(detailOf(SendRequest, send({ [name]: "marker" }))).toBe("the body: has an unknown member");
    expect(detailOf(SendRequest, send({ "<b>": 1, expiry: 1 }))).toBe("expiry: is not a known member");
  });

  test("members of members are named by their path", () => {
    const browser = (pushChannel: object) => ({ platform: "browser", pushChannel });
    const endpoint = "https://push.example/a";
    expect(detailOf(InstallationRequest, browser({ endpoint }))).toBe("pushChannel.p256dh: is missing");
    const point = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const subscription = { endpoint, p256dh: point, auth: "BTBZMqHH6r4Tts7J_aSIgg" };
    expect(detailOf(InstallationRequest, browser({ ...subscription, expirationTime: 1 }))).toBe(
      "pushChannel.expirationTime: is not a known member",
    );
    expect(detailOf(InstallationRequest, browser({ ...subscription, "a b": 1 }))).toBe(
      "pushChannel: has an unknown member",
    );
  });

  test.each([{}, { platform: null }, { platform: "gcm" }, { platform: 1 }])(
    "platform %j: the rule says what is served here",
    (members) => {
      const rules = { platform: "must be one of apns, wns" };
      expect(detailOf(InstallationRequest, { pushChannel: "a", ...members }, rules)).toBe(
        "platform: must be one of apns, wns",
      );
    },
  );
});

describe("R75: a query that is refused names the parameter and the rule", () => {
  const check = (query: string) => {
    const request = { url: `http://localhost/api/notifications?${query}` } as HttpRequest;
    const failure = checkQuery(request, new Set(["limit", "unread"]));
    return failure !== undefined && "detail" in failure ? failure.detail : undefined;
  };
  test.each([
    ["limit=1&unread=true", undefined],
    ["userId=bob", "userId: is not a known parameter"],
    ["a%20b=marker", "the query: has an unknown parameter"],
    [`${"x".repeat(33)}=1`, "the query: has an unknown parameter"],
    ["=1", "the query: has an unknown parameter"],
    ["limit=1&limit=1", "limit: is given more than once"],
  ])("%s", (query, detail) => {
    expect(check(query)).toBe(detail);
  });

  test.each([
    [{ limit: "0" }, "limit: must be a whole number from 1 to 100 in decimal digits"],
    [{ limit: "" }, "limit: must be a whole number from 1 to 100 in decimal digits"],
    [{ unread: "yes" }, "unread: must be true or false"],
  ])("%j", (query, detail) => {
    expect(parseInput("query_invalid", ListQuery, query)).toEqual({
      ok: false,
      error: { reason: "query_invalid", detail },
    });
  });
});
