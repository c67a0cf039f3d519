// Route templates against paths.
import { describe, expect, test } from "vitest";
import { createRouteMatcher, toSegments } from "../../../local/functionsHost/routes.ts";

const match = (template: string, path: string) => createRouteMatcher(template).match(toSegments(path));

describe("route templates", () => {
  test.each([
    { template: "", path: "/", params: {} },
    { template: "api/push", path: "/api/push", params: {} },
    { template: "api/push", path: "/API/Push/", params: {} },
    { template: "api/push/", path: "/api/push", params: {} },
    { template: "api/{id}", path: "/api/7", params: { id: "7" } },
    { template: "api/{id}", path: "/api/a%20b", params: { id: "a b" } },
    { template: "api/{id}", path: "/api/a%2fb%2Fc", params: { id: "a%2fb%2Fc" } },
    { template: "api/{id}", path: "/api/%zz", params: { id: "%zz" } },
    { template: "api/{id}", path: "/api/%ff", params: { id: "%ff" } }, // not UTF-8
    { template: "api/{__proto__}", path: "/api/x", params: Object.fromEntries([["__proto__", "x"]]) },
    { template: "api/{id?}", path: "/api", params: {} },
    { template: "api/{id?}", path: "/api/7", params: { id: "7" } },
    { template: "api/{id=5}", path: "/api", params: { id: "5" } },
    { template: "api/{id:int?}", path: "/api", params: {} },
    { template: "api/{a?}/{b?}", path: "/api/1", params: { a: "1" } },
    { template: "api/{*rest}", path: "/api", params: {} },
    { template: "api/{*rest}", path: "/api/a/b%2Fc/", params: { rest: "a/b%2Fc" } },
    { template: "api/{**rest}", path: "/api/a/b", params: { rest: "a/b" } },
    { template: "api/{name}.{ext}", path: "/api/a.b.txt", params: { name: "a.b", ext: "txt" } },
    { template: "api/v{n:int}", path: "/api/V2", params: { n: "2" } },
    { template: "api/{a}/x/{b}", path: "/api/1/x/2", params: { a: "1", b: "2" } },
    { template: "api/\u00e4", path: "/api/%C3%A4", params: {} },
    { template: "api/{x:regex(^\\d{{3}}$)}", path: "/api/123", params: { x: "123" } },
    { template: "api/{x:regex(^(a|b)/?$)}", path: "/api/a", params: { x: "a" } },
  ])("$template takes $path as $params", ({ template, path, params }) => {
    expect(match(template, path)).toStrictEqual(params);
  });

  test.each([
    { template: "api/push", path: "/api" },
    { template: "api/push", path: "/api/push/x" },
    { template: "api/push", path: "/api//push" },
    { template: "api/push", path: "/api/push//" },
    { template: "api/a.b", path: "/api/axb" },
    { template: "api/{id}", path: "/api" },
    { template: "api/{id}", path: "/api/" },
    { template: "api/{id}", path: "/api/a/b" },
    { template: "api/{id}", path: "/api//" },
    { template: "api/{name}.{ext}", path: "/api/name" },
    { template: "api/{x:regex(^\\d{{3}}$)}", path: "/api/12" },
  ])("$template does not take $path", ({ template, path }) => {
    expect(match(template, path)).toBeUndefined();
  });

  test.each([
    { constraint: "int", takes: ["0", "-5", "2147483647"], refuses: ["x", "2147483648", "1.5", "", "0x1"] },
    { constraint: "long", takes: ["9223372036854775807"], refuses: ["9223372036854775808", "1e3"] },
    { constraint: "bool", takes: ["true", "FALSE"], refuses: ["1", "yes"] },
    { constraint: "alpha", takes: ["abcXYZ"], refuses: ["a1", "\u00e4"] },
    {
      constraint: "guid",
      takes: ["0123456789abcdef0123456789ABCDEF", "01234567-89ab-cdef-0123-456789abcdef"],
      refuses: ["0123", "g1234567-89ab-cdef-0123-456789abcdef"],
    },
    { constraint: "double", takes: ["1", "-1.5", "1e3"], refuses: ["x", "1.2.3"] },
    { constraint: "datetime", takes: ["2026-01-31"], refuses: ["never"] },
    { constraint: "length(3)", takes: ["abc"], refuses: ["ab", "abcd"] },
    { constraint: "length(2,3)", takes: ["ab", "abc"], refuses: ["a", "abcd"] },
    { constraint: "minlength(2)", takes: ["ab", "abc"], refuses: ["a"] },
    { constraint: "maxlength(2)", takes: ["a", "ab"], refuses: ["abc"] },
    { constraint: "min(5)", takes: ["5", "6"], refuses: ["4", "x"] },
    { constraint: "max(5)", takes: ["5", "-1"], refuses: ["6"] },
    { constraint: "range(2,4)", takes: ["2", "4"], refuses: ["1", "5"] },
    { constraint: "int:min(5)", takes: ["5"], refuses: ["4"] },
    { constraint: "INT", takes: ["1"], refuses: ["x"] },
  ])("{x:$constraint} takes $takes and refuses $refuses", ({ constraint, takes, refuses }) => {
    const { match: matches } = createRouteMatcher(`{x:${constraint}}`);
    expect(takes.filter((value) => matches([value]) === undefined)).toEqual([]);
    expect(refuses.filter((value) => matches([value]) !== undefined)).toEqual([]);
  });

  test.each([
    { template: "/api", why: "must not begin" },
    { template: "a//b", why: "empty segment" },
    { template: "a/{b", why: "not closed" },
    { template: "a/b}", why: "must not hold" },
    { template: "a/{}", why: "no parameter" },
    { template: "a/{b}{c}", why: "between" },
    { template: "a/{b}/{B}", why: "twice" },
    { template: "a/{*b}/c", why: "last segment" },
    { template: "a/{b?}/c", why: "at the end" },
    { template: "a/x{b?}", why: "segment of its own" },
    { template: "a/{b:colour}", why: "not known" },
    { template: "a/{b:range}", why: "wants numbers" },
    { template: "a/{b:range(x,1)}", why: "wants numbers" },
    { template: "a/{b:int!}", why: "cannot be read" },
  ])("$template is refused: $why", ({ template, why }) => {
    expect(() => createRouteMatcher(template)).toThrow(why);
  });
});
