// Builds the .NET clients, and runs the one for every system as a device against the local stack, trimmed as an app would
// be. Where there is no .NET SDK, it says so and succeeds.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSender } from "../clients/sender/sender.ts";
import { createStack } from "../local/stack.ts";
import { bundleApp } from "./bundle.ts";
import { hasDotnet, run } from "./dotnet.ts";
import { root } from "./root.ts";

const PAYLOAD_TEXT = "Your test result is negative. ✓";
const PUBLISH = [
  "--use-current-runtime",
  "--self-contained",
  "-p:PublishTrimmed=true",
  "-p:TrimmerSingleWarn=false",
];

if (hasDotnet()) process.exitCode = await check();
else console.log("dotnet is not installed: clients/dotnet was not built");

async function check(): Promise<number> {
  const artifacts = mkdtempSync(join(tmpdir(), "secure-push-dotnet-"));
  try {
    const project = join(root, "clients/dotnet");
    const output = join(artifacts, "app");
    const built = await run("dotnet", [
      "publish",
      project,
      ...PUBLISH,
      "--artifacts-path",
      artifacts,
      "--output",
      output,
    ]);
    if (built !== 0) return built;
    // The Windows listing can be compiled anywhere, but runs on Windows alone.
    const windows = join(root, "clients/windows");
    const compiled = await run("dotnet", ["build", windows, "--artifacts-path", join(artifacts, "windows")]);
    return compiled === 0 ? await runDevice(join(output, "SecurePush")) : compiled;
  } finally {
    rmSync(artifacts, { recursive: true });
  }
}

async function runDevice(device: string): Promise<number> {
  await bundleApp();
  const stack = await createStack();
  try {
    const { issuer, host, functionKey } = stack;
    const sender = createSender({ url: host.url, credential: { functionKey } });
    const { id } = await sender.sendSecure({ to: ["ada"], payload: { text: PAYLOAD_TEXT } });
    const environment = {
      API: `${host.url}/api/`,
      TOKEN: await issuer.buildUserToken("ada"),
      STRANGER_TOKEN: await issuer.buildUserToken("mallory"),
      ID: id,
      PAYLOAD_TEXT,
    };
    return await run(device, [], { environment });
  } finally {
    await stack.close();
  }
}
