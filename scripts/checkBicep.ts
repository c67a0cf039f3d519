// Compiles and lints the Azure templates; a warning is an error. Part of `npm run check`, which uses the `bicep` on the
// PATH and does nothing where there is none. `node scripts/checkBicep.ts PATH` uses the CLI at PATH, which has to exist.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "./root.ts";

const infra = join(root, "infra");
const [path] = process.argv.slice(2);
const cli = path ?? "bicep";

const version = spawnSync(cli, ["--version"], { encoding: "utf8" });
if (version.error !== undefined && path === undefined)
  console.log("bicep is not on the PATH: infra/ was not compiled here (scripts/bicep.sh restores it)");
else {
  const findings = version.status === 0 ? check() : [version.error?.message ?? version.stderr];
  for (const finding of findings) console.error(finding);
  if (findings.length > 0) process.exitCode = 1;
  else console.log(`infra/ compiled without a warning (${version.stdout.trim()})`);
}

function check(): readonly string[] {
  const templates = readdirSync(infra, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".bicep"),
  );
  return [
    run("build", join(infra, "main.bicep"), "--stdout"),
    run("build-params", join(infra, "main.bicepparam"), "--stdout"),
    ...templates.map((name) => run("lint", join(infra, name))),
  ].filter((finding) => finding !== "");
}

/** The warnings and errors of one command; empty if there are none. */
function run(...args: readonly string[]): string {
  const { status, stderr } = spawnSync(cli, args, { encoding: "utf8" });
  const text = stderr.trim();
  return text === "" && status !== 0 ? `bicep ${args.join(" ")} failed with exit code ${status}` : text;
}
