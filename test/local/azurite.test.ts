// Azurite as a part of ours: it keeps what it was given, and it does not outlive us.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { TableClient } from "@azure/data-tables";
import { expect, test } from "vitest";
import { createAzurite } from "../../local/azurite.ts";

const plain = { allowInsecureConnection: true };

function isListening(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** What its files hold; one may be replaced while it is read. */
async function readAll(directory: string): Promise<string> {
  const names = await readdir(directory);
  const texts = names.map((name) => readFile(join(directory, name), "utf8").catch(() => ""));
  return (await Promise.all(texts)).join("");
}

/** Another process that has one, and is killed without a word. */
async function killOwnerOf(directory: string): Promise<string> {
  const script = `
    import { createAzurite } from ${JSON.stringify(new URL("../../local/azurite.ts", import.meta.url).href)};
    import { TableClient } from ${JSON.stringify(pathToFileURL(createRequire(import.meta.url).resolve("@azure/data-tables")).href)};
    const azurite = await createAzurite({ directory: ${JSON.stringify(directory)} });
    const table = TableClient.fromConnectionString(azurite.connectionString, "kept", { allowInsecureConnection: true });
    await table.createTable();
    await table.createEntity({ partitionKey: "p", rowKey: "r" });
    console.log(azurite.url);
    setInterval(() => undefined, 1000);`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [url] = (await once(createInterface({ input: owner.stdout }), "line")) as [string];
  expect(await isListening(url)).toBe(true);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  return url;
}

test("it ends when its owner is killed, and writes what it held", async () => {
  const directory = await mkdtemp(join(tmpdir(), "secure-push-"));
  try {
    const url = await killOwnerOf(directory);
    await expect.poll(() => isListening(url), { timeout: 30_000 }).toBe(false);
    // It may still be writing when its port is closed; a second one over the same files would overwrite that.
    await expect.poll(() => readAll(directory), { timeout: 30_000 }).toContain('"RowKey":"r"');
    const again = await createAzurite({ directory });
    try {
      const table = TableClient.fromConnectionString(again.connectionString, "kept", plain);
      expect((await table.getEntity("p", "r"))["rowKey"]).toBe("r");
    } finally {
      await again.close();
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a port that is taken is replaced", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const address = other.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const azurite = await createAzurite({ port: address.port });
  try {
    expect(new URL(azurite.url).port).not.toBe(String(address.port));
    expect(await isListening(azurite.url)).toBe(true);
  } finally {
    await azurite.close();
    other.close();
  }
});

test("it is restarted on the same port when it ends by itself, and the user learns of both", async () => {
  const said: string[] = [];
  const azurite = await createAzurite({ onTrouble: (sentence) => said.push(sentence) });
  try {
    const pid = azurite.pid();
    process.kill(pid ?? 0, "SIGKILL");
    await expect.poll(() => said.length, { timeout: 30_000 }).toBe(2);
    expect(said[0]).toContain("ended unexpectedly (SIGKILL)");
    expect(said[1]).toContain("runs again");
    expect(azurite.pid()).not.toBe(pid);
    const table = TableClient.fromConnectionString(azurite.connectionString, "again", plain);
    await table.createTable();
  } finally {
    await azurite.close();
  }
  expect(await isListening(azurite.url)).toBe(false);
  expect(said).toHaveLength(2); // the end that was asked for is no trouble
});
