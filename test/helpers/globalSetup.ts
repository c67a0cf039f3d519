// Builds the bundle that some tests run, and starts one Azurite for the whole run; each test file works under a table
// prefix of its own (helpers/store.ts).
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { createAzurite } from "../../local/azurite.ts";
import { bundle } from "../../scripts/bundle.ts";
import { root } from "../../scripts/root.ts";

declare module "vitest" {
  interface ProvidedContext {
    readonly storageConnectionString: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await bundle("functions/main.ts", join(root, "dist"));
  const azurite = await createAzurite();
  project.provide("storageConnectionString", azurite.connectionString);
  return azurite.close;
}
