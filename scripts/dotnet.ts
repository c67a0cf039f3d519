// Runs the .NET SDK for the checks that need it. I/O: processes.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";

const ENVIRONMENT = {
  ...process.env,
  DOTNET_CLI_TELEMETRY_OPTOUT: "1",
  DOTNET_NOLOGO: "1",
  KIOTA_CLI_TELEMETRY_OPTOUT: "true",
  KIOTA_OFFLINE_ENABLED: "true", // no look for updates
};

export function hasDotnet(): boolean {
  return spawnSync("dotnet", ["--version"], { env: ENVIRONMENT }).status === 0;
}

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly directory?: string;
}

/** Answers the exit code. It does not block: the issuer and the hub of a stack are in this process. */
export async function run(
  command: string,
  args: readonly string[],
  { environment = {}, directory }: RunOptions = {},
): Promise<number> {
  const child = spawn(command, args, {
    stdio: "inherit",
    env: { ...ENVIRONMENT, ...environment },
    ...(directory === undefined ? {} : { cwd: directory }),
  });
  await once(child, "exit");
  return child.exitCode ?? 1;
}
