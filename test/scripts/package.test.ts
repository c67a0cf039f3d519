// What is deployed: a folder that needs nothing beside it, and holds nothing more.
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Api, createApi } from "../helpers/api.ts";

let directory: string;
let printed: string;
let api: Api;

beforeAll(async () => {
  // Outside the repository: nothing of node_modules is in reach.
  directory = await mkdtemp(join(tmpdir(), "secure-push-package-"));
  const script = fileURLToPath(new URL("../../scripts/package.ts", import.meta.url));
  ({ stdout: printed } = await promisify(execFile)(process.execPath, [script, directory]));
  api = await createApi("through the local host", { appDirectory: directory });
});
afterAll(async () => {
  await api.close();
  await rm(directory, { recursive: true });
});

async function listFiles(): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .toSorted((a, b) => a.localeCompare(b));
}

test("fewer than ten files, and at most 1.2 megabytes of code", async () => {
  const files = await listFiles();
  expect(files.length).toBeLessThan(10);
  const others = files.filter((file) => !/^dist\/[\w-]+\.js$/.test(file));
  expect(others).toEqual(["host.json", "LICENSE", "package.json", "THIRD-PARTY-NOTICES.txt"]);
  const code = files.filter((file) => file.endsWith(".js"));
  const sizes = await Promise.all(code.map(async (file) => (await stat(join(directory, file))).size));
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(1_200_000);
  for (const file of files) expect(printed).toContain(file);
});

test("nothing is left to install, and every package that is bundled is named", async () => {
  const manifest = JSON.parse(await readFile(join(directory, "package.json"), "utf8")) as object;
  expect(manifest).toMatchObject({ main: "dist/main.js", type: "module" });
  expect(manifest).not.toHaveProperty("dependencies");
  expect(manifest).not.toHaveProperty("scripts");
  const notices = await readFile(join(directory, "THIRD-PARTY-NOTICES.txt"), "utf8");
  for (const name of ["@azure/functions", "@azure/data-tables", "@azure/identity", "jose", "zod"])
    expect(notices).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(MIT\\)$`, "m"));
});

test("no path of the machine that made it is in it", async () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  for (const file of await listFiles())
    expect((await readFile(join(directory, file), "utf8")).includes(root), file).toBe(false);
});

test("from that folder alone it serves the story", async () => {
  await api.as("alice", "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: "alice-1" });
  const sent = await api.send({ to: ["alice"], payload: "packed" });
  expect(sent.json()["push"]).toBe("accepted");
  const path = `/api/notifications/${String(sent.json()["id"])}`;
  expect((await api.as("alice", "GET", path)).json()["payload"]).toBe("packed");
});
