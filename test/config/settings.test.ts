// The code, the sample file and docs/settings.md name the same settings.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseConfig } from "../../shared/config/config.ts";

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
const sample = JSON.parse(read("local.settings.sample.json")) as {
  readonly Values: Readonly<Record<string, string>>;
};
/** Settings of the platform. */
const FOREIGN: ReadonlySet<string> = new Set([
  "AzureWebJobsStorage",
  "FUNCTIONS_WORKER_RUNTIME",
  "WEBSITE_SITE_NAME",
]);

function readByTheApp(): readonly string[] {
  const names = new Set<string>();
  parseConfig(
    new Proxy(
      {},
      {
        get: (_env, name) => {
          names.add(String(name));
          return undefined;
        },
      },
    ),
  );
  return [...names].filter((name) => !FOREIGN.has(name)).toSorted();
}

test("local.settings.sample.json holds every setting that the app reads, and no other", () => {
  const sampled = Object.keys(sample.Values).filter((name) => !FOREIGN.has(name));
  expect(sampled.toSorted()).toEqual(readByTheApp());
});

test("docs/settings.md describes every setting that the app reads, and no other", () => {
  const described = read("docs/settings.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .flatMap((line) =>
      [...(line.split("|")[1] ?? "").matchAll(/`([A-Z][A-Z_]+)`/g)].map(([, name]) => name ?? ""),
    );
  expect(described.toSorted()).toEqual(readByTheApp());
});

test("the sample is usable once its secret is filled in", () => {
  const filled = { ...sample.Values, PAYLOAD_LOCAL_KEK: Buffer.alloc(32, 7).toString("base64") };
  expect(parseConfig(filled)).toMatchObject({ ok: true });
});
