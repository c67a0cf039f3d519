// Compiles and lints the Azure templates where the Bicep CLI is on the PATH; a warning is an error. Part of
// `npm run check`; elsewhere it says that it did nothing, and the pipeline does it (.github/workflows/check.yml).
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "./root.ts";

const infra = join(root, "infra");
const templates = readdirSync(infra, { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".bicep"),
);

if (run("--version") === undefined) console.log("bicep is not on the PATH: infra/ was not compiled here");
else {
  const findings = [
    run("build", join(infra, "main.bicep"), "--stdout"),
    run("build-params", join(infra, "main.bicepparam"), "--stdout"),
    ...templates.map((name) => run("lint", join(infra, name))),
  ];
  for (const text of findings) if (text !== undefined && text !== "") console.error(text);
  if (findings.some((text) => text !== "")) process.exitCode = 1;
}

/** What it has to say against something; nothing where it cannot be run. */
function run(...args: readonly string[]): string | undefined {
  const { error, stderr } = spawnSync("bicep", args, { encoding: "utf8" });
  return error === undefined ? stderr.trim() : undefined;
}
