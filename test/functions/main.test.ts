// The file that the Functions host loads, as a process of its own with the core module that the worker supplies.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);

/** Imports main.ts with these settings; answers what it registered, and the error that it threw. */
async function load(settings: Readonly<Record<string, string>>) {
  const address = (path: string) => JSON.stringify(import.meta.resolve(`../../${path}`));
  const script = `
    import { createCoreRegistry, installCoreModule } from ${address("local/functionsHost/coreModule.ts")};
    const registry = createCoreRegistry({ log: () => undefined });
    installCoreModule(registry);
    const error = await import(${address("functions/main.ts")}).then(() => undefined, (thrown) => thrown.message);
    const names = registry.getFunctions().map(({ metadata }) => metadata.name);
    process.stdout.write(JSON.stringify({ error, names }), () => process.exit());
  `;
  const env = { PATH: process.env["PATH"], ...settings };
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], { env });
  return JSON.parse(stdout) as { readonly error?: string; readonly names: readonly string[] };
}

test("R154: a missing setting is an error of an app that has a function, so that the worker reports it to the host", async () => {
  const { error, names } = await load({ AUTH_ISSUER: "https://issuer.example" });
  expect(error).toContain("AUTH_AUDIENCE: is missing");
  expect(names).toEqual(["health"]);
});
