// The process of bundleHosts.ts. A copy of the bundle for each app, because Node loads a file once.
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFunctionsHost } from "../../local/functionsHost/host.ts";
import { root } from "../../scripts/root.ts";
import type { BundleHost, BundleHostsRequest } from "./bundleHosts.ts";

process.once("disconnect", () => process.exit(1)); // its end is ours

const [{ settings, functionKey }] = (await once(process, "message")) as [BundleHostsRequest];
const environment = { ...process.env };
const directory = await mkdtemp(join(tmpdir(), "bundle-hosts-"));
const hosts: BundleHost[] = [];
try {
  // One after the other: an app reads the environment of the process when it is loaded, and writes to its console.
  for (const [i, one] of settings.entries()) {
    const appDirectory = join(directory, String(i));
    for (const part of ["dist", "host.json", "package.json"])
      await cp(join(root, part), join(appDirectory, part), { recursive: true });
    process.env = { ...environment };
    const lines: string[] = [];
    for (const level of ["info", "warn", "error"] as const)
      console[level] = (line: string) => lines.push(line);
    const host = await createFunctionsHost({
      appDirectory,
      settings: one,
      keys: { default: functionKey },
      timers: false,
    });
    await fetch(`${host.url}/api/push-config`); // the first call loads the handlers
    hosts.push({ url: host.url, lines });
  }
} finally {
  process.chdir(root);
  await rm(directory, { recursive: true });
}
process.send?.(hosts);
