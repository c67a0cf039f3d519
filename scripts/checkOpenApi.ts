// Lints the API's document, once for each way in which senders authenticate. Part of `npm run check`.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createDocument } from "./document.ts";
import { root } from "./root.ts";

const linter = fileURLToPath(import.meta.resolve("@redocly/cli/bin/cli.js"));
const directory = mkdtempSync(join(tmpdir(), "secure-push-openapi-"));
try {
  const files = (["functionKey", "token"] as const).map((SEND_AUTH) => {
    const file = join(directory, `${SEND_AUTH}.json`);
    writeFileSync(file, JSON.stringify(createDocument({ SEND_AUTH }).document, undefined, 2));
    return file;
  });
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [linter, "lint", "--config", join(root, "redocly.yaml"), ...files],
    // redocly.yaml turns telemetry off too; here nothing is asked for updates either.
    {
      encoding: "utf8",
      env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" },
    },
  );
  if (status !== 0) {
    console.error(stdout, stderr);
    process.exitCode = 1;
  }
} finally {
  rmSync(directory, { recursive: true });
}
