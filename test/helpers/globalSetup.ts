// Builds the bundle that some tests run, and starts one Azurite for the whole run; each test file works under a table
// prefix of its own (helpers/store.ts).
import type { TestProject } from "vitest/node";
import { createAzurite } from "../../local/azurite.ts";
import { bundleApp } from "../../scripts/bundle.ts";

declare module "vitest" {
  interface ProvidedContext {
    readonly storageConnectionString: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await bundleApp();
  const azurite = await createAzurite();
  project.provide("storageConnectionString", azurite.connectionString);
  return azurite.close;
}
