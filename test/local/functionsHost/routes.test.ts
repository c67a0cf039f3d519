// Route templates against paths.
import { describe, expect, test } from "vitest";
import { createRouteMatcher, toSegments } from "../../../local/functionsHost/routes.ts";

const match = (template: string, path: string) => createRouteMatcher(template).match(toSegments(path));

describe("route templates", () => {
  test.each([
    { template: "", path: "/", params: {} },
    { template: "api/push", path: "/api/push", params: {} },
    { template: "api/push", path: "/API/Push/", params: {} },
    { template: "API/Push", path: "/api/push", params: {} },
    { template: "api/push/", path: "/api/push", params: {} },
    { template: "api/a.b", path: "/api/a.b", params: {} },
    { template: "api/{id}", path: "/api/7", params: { id: "7" } },
    { template: "api/{id}", path: "/api/aB", params: { id: "aB" } },
    { template: "api/{id}", path: "/api/a%20b", params: { id: "a b" } },
    { template: "api/{id}", path: "/api/a%2fb%2Fc", params: { id: "a%2fb%2Fc" } },
    { template: "api/{id}", path: "/api/%zz", params: { id: "%zz" } },
    { template: "api/{id}", path: "/api/%ff", params: { id: "%ff" } }, // not UTF-8
    { template: "api/{__proto__}", path: "/api/x", params: Object.fromEntries([["__proto__", "x"]]) },
    { template: "api/{a}/x/{b}", path: "/api/1/x/2", params: { a: "1", b: "2" } },
    { template: "api/\u00e4", path: "/api/%C3%A4", params: {} },
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
    { template: "api/{id}/x", path: "/api//x" },
  ])("$template does not take $path", ({ template, path }) => {
    expect(match(template, path)).toBeUndefined();
  });

  test.each([
    { template: "/api", why: "empty segment" },
    { template: "a//b", why: "empty segment" },
    { template: "a/{b", why: "supports literals and {name}" },
    { template: "a/b}", why: "supports literals and {name}" },
    { template: "a/{}", why: "supports literals and {name}" },
    { template: "~/a", why: "supports literals and {name}" },
    { template: "a/{b}/{B}", why: `the parameter "B" twice` },
    // What Azure knows and this host does not.
    { template: "a/{b}{c}", why: `not "{b}{c}"` },
    { template: "a/{name}.{ext}", why: `not "{name}.{ext}"` },
    { template: "a/x{b}", why: `not "x{b}"` },
    { template: "a/{b?}", why: `not "{b?}"` },
    { template: "a/{b=5}", why: `not "{b=5}"` },
    { template: "a/{b:int}", why: `not "{b:int}"` },
    { template: "a/{*b}", why: `not "{*b}"` },
    { template: "a/{**b}", why: `not "{**b}"` },
  ])("$template is refused: $why", ({ template, why }) => {
    expect(() => createRouteMatcher(template)).toThrow(why);
  });
});
