// The lists of hosts that senders may call (WEB_PUSH_HOSTS, MPNS_HOSTS).
import { describe, expect, test } from "vitest";
import { type HostRule, parseHostRules } from "../../shared/config/hostRules.ts";

describe("a list of hosts", () => {
  test.each<[string, HostRule]>([
    ["fcm.googleapis.com", { host: "fcm.googleapis.com", isWildcard: false, port: 443, isPrivate: false }],
    [" FCM.Googleapis.COM ", { host: "fcm.googleapis.com", isWildcard: false, port: 443, isPrivate: false }],
    ["*.push.apple.com", { host: "push.apple.com", isWildcard: true, port: 443, isPrivate: false }],
    ["push.example:8443", { host: "push.example", isWildcard: false, port: 8443, isPrivate: false }],
    ["localhost;private", { host: "localhost", isWildcard: false, port: 443, isPrivate: true }],
    ["*.corp.example:1;private", { host: "corp.example", isWildcard: true, port: 1, isPrivate: true }],
    ["127.0.0.1:9;private", { host: "127.0.0.1", isWildcard: false, port: 9, isPrivate: true }],
    ["[::1]:9;private", { host: "::1", isWildcard: false, port: 9, isPrivate: true }],
  ])("takes %j", (text, rule) => {
    expect(parseHostRules(text)).toEqual({ ok: true, value: [rule] });
  });

  test.each([
    "",
    "a.example,",
    "*",
    "*.com",
    "*.localhost",
    "*.127.0.0.1",
    "*.127.0.0.1:8443",
    "*.[::1]",
    "*.[2001:db8::a.b]",
    "*.[2001:db8::1]:8443;private",
    "*a.example",
    "a.*.example",
    "https://a.example",
    "a.example/path",
    "a.example:0",
    "a.example:65536",
    "a.example:",
    "a.example;public",
    "a.example; private",
    "user@a.example",
    ".a.example",
    "a..example",
    "a.example.",
    "127.1",
    "0x7f000001",
    "bücher.example",
    "a b.example",
  ])("refuses %j and does not repeat it", (text) => {
    const result = parseHostRules(text);
    expect(result).toEqual({
      ok: false,
      error: "must be a comma list of host[:port][;private], *. for whole labels",
    });
  });
});
