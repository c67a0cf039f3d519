// The API's document against the routes, the problems, and what the app asks, takes and refuses.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OpenApi, Operation } from "../../../functions/openapi/openApiDocument.ts";
import { createDocument } from "../../../scripts/document.ts";
import { type Reason, REASONS, toProblemExample } from "../../../shared/problem.ts";
import { type Api, createApi, WAYS } from "../../helpers/api.ts";

const { routes, document } = createDocument();
const byToken = createDocument({
  SEND_AUTH: "token",
  REQUIRE_IDEMPOTENCY_KEY: "true",
  SENDER_ROLE: "Push.Send",
  AUTH_SCOPE: "Push.Read",
}).document;

function listOperations({ paths }: OpenApi) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
}

const operations = listOperations(document);
const operationOf = (name: string, of = document): Operation => {
  const found = listOperations(of).find(({ operation }) => operation.operationId === name)?.operation;
  if (found === undefined) throw new Error(`no operation ${name}`);
  return found;
};

function listReasons(operation: Operation): readonly Reason[] {
  return Object.values(operation.responses).flatMap(
    ({ content }) => Object.keys(content?.["application/problem+json"]?.examples ?? {}) as Reason[],
  );
}

describe("routes and document", () => {
  test("name the same functions, methods and paths", () => {
    const served = routes.flatMap(({ name, methods, path }) =>
      methods.filter((method) => method !== "HEAD").map((method) => `${name} ${method} /${path}`),
    );
    const documented = operations.map(
      ({ path, method, operation }) => `${operation.operationId} ${method} ${path}`,
    );
    expect(documented.toSorted()).toEqual(served.toSorted());
    expect(new Set(documented).size).toBe(routes.length);
  });

  test.each(routes.map((route) => [route.name, route] as const))(
    "%s: parameters",
    (name, { path, query }) => {
      const parameters = operationOf(name).parameters ?? [];
      const named = (place: string) =>
        parameters.filter((found) => found.in === place).map((found) => found.name);
      expect(named("path")).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter));
      expect(named("query").toSorted()).toEqual([...(query ?? [])].toSorted());
      for (const { in: place, required } of parameters) if (place === "path") expect(required).toBe(true);
    },
  );

  test.each([
    ["sendSecure", [{ functionKey: [] }, { functionKeyInQuery: [] }], [{ senderToken: [] }]],
    ["getNotification", [{ userToken: [] }], [{ userToken: [] }]],
    ["getReceipts", [{ functionKey: [] }, { functionKeyInQuery: [] }], [{ senderToken: [] }]],
    ["registerInstallation", [{ userToken: [] }], [{ userToken: [] }]],
    ["health", [], []],
    ["getOpenApi", [], []],
  ])("%s: who may call, by function key and by SEND_AUTH=token", (name, keyed, tokened) => {
    expect(operationOf(name).security).toEqual(keyed);
    expect(operationOf(name, byToken).security).toEqual(tokened);
  });

  test("only the credentials that are in use are told of, with the names that are set", () => {
    expect(Object.keys(document.components.securitySchemes)).toEqual([
      "userToken",
      "functionKey",
      "functionKeyInQuery",
    ]);
    const { userToken, senderToken } = byToken.components.securitySchemes;
    expect(Object.keys(byToken.components.securitySchemes)).toEqual(["userToken", "senderToken"]);
    expect(JSON.stringify(userToken)).toContain("`Push.Read`");
    expect(JSON.stringify(senderToken)).toContain("`Push.Send`");
  });

  test("the version is the package's", () => {
    const manifest = JSON.parse(
      readFileSync(new URL("../../../package.json", import.meta.url), "utf8"),
    ) as object;
    expect(manifest).toMatchObject({ version: (document.info as { readonly version: string }).version });
  });
});

describe("problems", () => {
  /** Between the parts of the service alone: the outbox takes what the hub does not. */
  const INTERNAL: ReadonlySet<Reason> = new Set(["hub_unavailable"]);

  test.each(REASONS.filter((reason) => !INTERNAL.has(reason)))(
    "%s is documented with its status, an example, and its headers",
    (reason) => {
      const { status, body, headers } = toProblemExample(reason);
      const givers = [...operations, ...listOperations(byToken)].filter(({ operation }) =>
        listReasons(operation).includes(reason),
      );
      expect(givers.length).toBeGreaterThan(0);
      for (const { operation } of givers) {
        const response = operation.responses[status];
        const names = Object.keys(response?.headers ?? {}).map((name) => name.toLowerCase());
        expect(names).toEqual(
          expect.arrayContaining(Object.keys(headers).filter((name) => name !== "content-type")),
        );
        expect(JSON.stringify(response?.content)).toContain(`"#/components/examples/${reason}"`);
      }
      const examples = { ...document.components.examples, ...byToken.components.examples };
      expect(examples[reason]?.value).toEqual(JSON.parse(body ?? ""));
    },
  );

  test.each([
    ["getNotification", "body_invalid"],
    ["health", "token_missing"],
    ["sendSecure", "hub_unavailable"],
    ["sendSecure", "idempotency_key_missing"], // unless the setting asks for one
    ["sendSecure", "token_missing"], // the Functions host checks keys
  ] as const)("%s does not give %s", (name, reason) => {
    expect(listReasons(operationOf(name))).not.toContain(reason);
  });
  test("with SEND_AUTH=token sendSecure refuses tokens", () => {
    expect(listReasons(operationOf("sendSecure", byToken))).toContain("token_missing");
  });
});

describe.each(WAYS)("%s", (way) => {
  let api: Api;
  beforeAll(async () => {
    api = await createApi(way);
  });
  afterAll(() => api.close());

  test("the app serves its document to anyone, as JSON, and the same each time", async () => {
    const [first, second] = [
      await api.call("GET", "/api/openapi.json"),
      await api.call("GET", "/api/openapi.json"),
    ];
    expect(first.status).toBe(200);
    expect(first.headers.get("content-type")).toBe("application/json");
    expect(first.json()).toEqual({ ...api.document, servers: [{ url: `${api.url}/api` }] });
    expect(second.text).toBe(first.text);
    expect((await api.call("GET", "/api/openapi.json?a=1")).json()["reason"]).toBe("query_invalid");
  });

  test.each(operations)(
    "$operation.operationId asks a caller without a credential for what the document says",
    async ({ path, method, operation }) => {
      const { status, text } = await api.call(method, `/api${path.replaceAll(/[{}]/g, "")}`);
      const schemes = operation.security.flatMap(Object.keys);
      if (schemes.length === 0) expect(status).toBe(200);
      else {
        expect(status).toBe(401);
        expect(text).toBe(schemes.includes("functionKey") ? "" : toProblemExample("token_missing").body);
      }
    },
  );

  test.each([...new Set(operations.map(({ path }) => path))])("%s has no other method", async (path) => {
    const known = Object.keys(document.paths[path] ?? {});
    for (const method of ["GET", "PUT", "POST", "DELETE", "PATCH"]) {
      if (known.includes(method.toLowerCase())) continue;
      const { status, text } = await api.call(method, `/api${path.replaceAll(/[{}]/g, "")}`);
      expect([method, status, text]).toEqual([method, 404, ""]);
    }
  });

  const examples = operations.flatMap(({ path, method, operation }) =>
    Object.entries(operation.requestBody?.content["application/json"]?.examples ?? {}).map(
      ([name, example]) => ({ path, method, operation, name, body: (example as { value: unknown }).value }),
    ),
  );
  test.each(examples)("$operation.operationId takes its example $name", async (row) => {
    const { path, method, operation, body } = row;
    const url = `/api${path.replaceAll(/[{}]/g, "")}`;
    const isKeyed = operation.security.some((requirement) => "functionKey" in requirement);
    const authorization = `Bearer ${await api.issuer.buildUserToken("alice")}`;
    const answer = await api.call(
      method,
      url,
      {
        "content-type": "application/json",
        ...(isKeyed ? { "x-functions-key": api.functionKey } : { authorization }),
      },
      JSON.stringify(body),
    );
    expect(answer.status, answer.text).toBeLessThan(300);
  });
});
