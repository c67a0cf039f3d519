// Generates clients from the document of a running service with Kiota and NSwag (C#), compiles them, and has each play the
// story: a device registers, a back end sends, the device fetches, receipts and refusals are read. Where there is no .NET
// SDK, it says so and succeeds. openapi-typescript is tried by the tests.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createStack } from "../local/stack.ts";
import { bundleApp } from "./bundle.ts";
import { hasDotnet, run } from "./dotnet.ts";
import { root } from "./root.ts";

const generators = join(root, "test/generators");

/** The command line of each generator, for the document at `input` and the folder `output`. No value has a space. */
const GENERATORS = {
  kiota: (input: string, output: string) =>
    `kiota generate --language CSharp --class-name SecurePushClient --namespace-name SecurePush.Generated ` +
    `--openapi ${input} --output ${output}`,
  // Optional members as nullable types: NSwag would write 0 for a number that was not set.
  nswag: (input: string, output: string) =>
    `nswag openapi2csclient /classname:SecurePushClient /namespace:SecurePush.Generated /jsonLibrary:SystemTextJson ` +
    `/generateOptionalParameters:true /generateOptionalPropertiesAsNullable:true ` +
    `/input:${input} /output:${join(output, "Client.cs")}`,
} as const;

if (hasDotnet()) process.exitCode = await check();
else console.log("dotnet is not installed: no client was generated from the API's document");

async function check(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "secure-push-generators-"));
  await bundleApp();
  const stack = await createStack();
  try {
    const { host, issuer, functionKey } = stack;
    const document = join(directory, "openapi.json");
    const answer = await fetch(`${host.url}/api/openapi.json`);
    writeFileSync(document, await answer.text());
    const restored = await run("dotnet", ["tool", "restore"], { directory: generators });
    if (restored !== 0) return restored;
    const environment = { TOKEN: await issuer.buildUserToken("ada"), FUNCTION_KEY: functionKey };
    for (const name of ["kiota", "nswag"] as const) {
      const code = await play(name, document, { directory: join(directory, name), environment });
      if (code !== 0) return code;
    }
    return 0;
  } finally {
    await stack.close();
    rmSync(directory, { recursive: true });
  }
}

async function play(
  name: keyof typeof GENERATORS,
  document: string,
  { directory, environment }: { readonly directory: string; readonly environment: Record<string, string> },
): Promise<number> {
  const client = join(directory, "client");
  const generate = GENERATORS[name](document, client).split(" ");
  const generated = await run("dotnet", ["tool", "run", ...generate], { directory: generators });
  if (generated !== 0) return generated;
  const project = ["--project", join(generators, name)];
  const output = ["--artifacts-path", join(directory, "artifacts"), `-p:GeneratedClient=${client}`];
  return run("dotnet", ["run", ...project, ...output], { environment });
}
