// The tests that go by chance, with more of it: `npm run soak`.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "../../scripts/root.ts";

const vitest = join(root, "node_modules/vitest/vitest.mjs");
const { status } = spawnSync(
  process.execPath,
  [vitest, "run", "test/system/lossless.test.ts", "test/system/model.test.ts", ...process.argv.slice(2)],
  { cwd: root, stdio: "inherit", env: { SENDS: "2000", RUNS: "60", ...process.env } },
);
process.exitCode = status ?? 1;
