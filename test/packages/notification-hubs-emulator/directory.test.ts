import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test, onTestFinished } from "vitest";
import { createHubEmulator } from "../../../packages/notification-hubs-emulator/emulator.ts";
import { createSdkClient, keyOf, put, register, sendTo, startHub, toInstallation } from "./clients.ts";

async function makeDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "hub-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

describe("a directory", () => {
  test("keeps installations and keys across a restart", async () => {
    const directory = join(await makeDirectory(), "deeper");
    const first = await createHubEmulator({ directory });
    await Promise.all(["i1", "i2", "i3"].map((id) => register(first, id, "t")));
    await createSdkClient(first).deleteInstallation("i2");
    await put(
      first,
      { ...toInstallation("i4"), expirationTime: new Date(Date.now() + 60_000).toISOString() },
      "i4",
    );
    const [before, key] = [first.installations(), keyOf(first, "ListenAndSend")];
    await first.close();

    const second = await startHub({ directory });
    expect(second.installations()).toEqual(before);
    expect(
      second
        .installations()
        .map(({ installationId }) => installationId)
        .toSorted(),
    ).toEqual(["i1", "i3", "i4"]);
    expect(keyOf(second, "ListenAndSend")).toBe(key);
    await sendTo(second, "t");
    expect(second.deliveries).toHaveLength(2);
  });

  test("has one file, which only its owner may read", async () => {
    const directory = await makeDirectory();
    const hub = await createHubEmulator({ directory });
    await register(hub, "i1", "t");
    await hub.close();
    expect(await readdir(directory)).toEqual(["hub.json"]);
    expect((await stat(join(directory, "hub.json"))).mode & 0o777).toBe(0o600);
  });

  test("has what was answered for on disk at the time of the answer", async () => {
    const directory = await makeDirectory();
    const first = await startHub({ directory });
    await register(first, "i1", "t");
    // As if the first had been killed here.
    const second = await startHub({ directory });
    expect(second.installations()).toEqual(first.installations());
  });

  test("whose file is not the emulator's is refused, and left alone", async () => {
    const directory = await makeDirectory();
    await writeFile(join(directory, "hub.json"), '{"v":2}');
    await expect(createHubEmulator({ directory })).rejects.toThrow("hub.json");
  });

  test("is not needed: without it, keys are new each time", async () => {
    const [first, second] = [await startHub(), await startHub()];
    expect(keyOf(first, "ListenAndSend")).not.toBe(keyOf(second, "ListenAndSend"));
  });
});
