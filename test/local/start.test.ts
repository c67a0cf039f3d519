// What a newcomer meets before the stack runs: options, the Node.js version, the lock, an unwritable folder.
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { COLUMNS } from "../../local/columns.ts";
import { findCoreTools } from "../../local/coreTools.ts";
import { toShownLine } from "../../local/hostLines.ts";
import { lockDirectory } from "../../local/lock.ts";
import { parseOptions, toNotes } from "../../local/options.ts";
import { toStartError } from "../../local/serve.ts";
import { root } from "../../scripts/root.ts";

describe("the options of npm start", () => {
  test.each([
    { args: [], options: { once: false, verbose: false } },
    { args: ["--once", "--verbose"], options: { once: true, verbose: true } },
    { args: ["--twice"], options: undefined },
    { args: ["once"], options: undefined },
  ])("$args are $options", ({ args, options }) => {
    expect(parseOptions(args)).toEqual(options);
  });

  test.each([
    { environment: { npm_config_once: "true" }, note: /npm start -- --once$/ },
    { environment: { npm_config_loglevel: "verbose" }, note: /npm start -- --verbose$/ },
  ])("an option that npm kept to itself is named: $environment", ({ environment, note }) => {
    expect(toNotes({ once: false, verbose: false }, environment)).toEqual([expect.stringMatching(note)]);
    expect(toNotes({ once: true, verbose: true }, environment)).toEqual([]);
  });
});

describe("the check of Node.js before each script", () => {
  const CHECK = join(root, "scripts/checkNode.cjs");

  /** Runs it with the version that is given. */
  async function run(version: string): Promise<{ readonly code: number | null; readonly output: string }> {
    const directory = await mkdtemp(join(tmpdir(), "secure-push-"));
    try {
      const fake = join(directory, "fake.cjs");
      const versions = `{ value: { ...process.versions, node: ${JSON.stringify(version)} } }`;
      await writeFile(fake, `Object.defineProperty(process, "versions", ${versions});`);
      const args = ["-r", fake, "-r", CHECK, "-e", 'console.log("it ran")'];
      return await new Promise((resolve) => {
        const child = execFile(process.execPath, args, (_error, stdout, stderr) => {
          resolve({ code: child.exitCode, output: stdout + stderr });
        });
      });
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  test.each(["18.20.0", "20.20.2", "22.18.0"])(
    "refuses %s in one line that names the remedy",
    async (version) => {
      const { code, output } = await run(version);
      expect(code).toBe(1);
      expect(output.trimEnd().split("\n")).toHaveLength(1);
      expect(output).toContain(version);
      expect(output).toContain("npm ci");
    },
  );

  test.each(["22.19.0", "24.0.0"])("lets %s run", async (version) => {
    expect(await run(version)).toEqual({ code: 0, output: "it ran\n" });
  });

  test("has the floor that package.json and README state", async () => {
    const { engines } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
      readonly engines: { readonly node: string };
    };
    const [, major, minor] = /FLOOR = \[(\d+), (\d+)\]/.exec(await readFile(CHECK, "utf8")) ?? [];
    expect(engines.node).toBe(`>=${major}.${minor}`);
    expect(await readFile(join(root, "README.md"), "utf8")).toContain(`Node ${major}.${minor} or later`);
  });
});

describe("the Core Tools", () => {
  const find = (path: string, existing: readonly string[]) =>
    findCoreTools(path, { delimiter: ":", isExecutable: (file) => existing.includes(file) });

  test.each([
    { path: "/a:/b", existing: ["/b/func", "/c/func"], found: "/b/func" },
    { path: "/a:/b", existing: ["/a/func.cmd", "/b/func"], found: "/a/func.cmd" },
    { path: ":/a", existing: ["/func"], found: undefined }, // never the current folder
    { path: "", existing: [], found: undefined },
  ])("are $found on the PATH $path with $existing", ({ path, existing, found }) => {
    expect(find(path, existing)).toBe(found);
  });

  test("that are missing are one clear message, without a download of another package", () => {
    const { PATH: _, ...environment } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, "local/startFunc.ts")], {
      env: environment,
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stdout.replaceAll("\n", " ")).toContain("Core Tools are not installed");
    expect(stdout.split("\n").filter((line) => line.length > COLUMNS)).toEqual([]);
    expect(stderr).toBe("");
  });
});

describe("the lock of a directory", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "secure-push-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test.each([
    { what: "the id of another process that runs", content: String(process.ppid) },
    { what: "nothing", content: "" },
    { what: "no JSON", content: "{" },
    {
      what: "a port on which nobody listens",
      content: JSON.stringify({ pid: process.ppid, port: 1, name: "x" }),
    },
  ])("that a crash has left with $what is taken over", async ({ content }) => {
    await writeFile(join(directory, "running.pid"), content);
    const lock = await lockDirectory(directory);
    expect(lock).toHaveProperty("release");
    if ("release" in lock) await lock.release();
    expect(await readdir(directory)).toEqual([]);
  });

  test("is held by one of many that want it at once, also over a lock that a crash has left", async () => {
    await writeFile(join(directory, "running.pid"), String(process.ppid));
    const locks = await Promise.all(Array.from({ length: 6 }, () => lockDirectory(directory)));
    const held = locks.filter((lock) => "release" in lock);
    expect(held).toHaveLength(1);
    expect(locks.filter((lock) => !("release" in lock))).toEqual(
      Array.from({ length: 5 }, () => ({ pid: process.pid })),
    );
    for (const lock of held) await lock.release();
    const next = await lockDirectory(directory);
    expect(next).toHaveProperty("release");
    if ("release" in next) await next.release();
  });

  test("ends with the process that holds it", async () => {
    const script = `
      import { lockDirectory } from ${JSON.stringify(import.meta.resolve("../../local/lock.ts"))};
      await lockDirectory(${JSON.stringify(directory)});
      console.log("locked");
      setInterval(() => undefined, 1000);`;
    const holder = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(holder.stdout, "data");
    expect(await lockDirectory(directory)).toEqual({ pid: holder.pid });
    holder.kill("SIGKILL");
    await once(holder, "exit");
    const lock = await lockDirectory(directory);
    expect(lock).toHaveProperty("release");
    if ("release" in lock) await lock.release();
  });
});

test("a folder that cannot be written is one sentence with its name", () => {
  const error = Object.assign(new Error("EROFS: read-only file system, mkdir '/x/.local'"), {
    code: "EROFS",
    path: "/x/.local",
  });
  expect(toStartError(error)).toMatch(/^\/x\/\.local cannot be written \(EROFS\)\./);
});

describe("a line of the host", () => {
  const show = (line: string, form: "short" | "json" = "short") =>
    toShownLine(line, { form, paint: (_style, text) => text, now: () => new Date("2026-01-02T03:04:05Z") });
  const ORIGIN = "getNotification 0d5cbd0a-45b5-4f4c-9b31-0123456789ab";

  test.each([
    {
      line: "information host: GET /api/notifications/01AB 200 12 ms",
      shown: "03:04:05 200 GET /api/notifications/01AB 12 ms",
    },
    {
      line: `warning ${ORIGIN}: {"time":"t","level":"warn","event":"token_rejected","correlationId":"c","why":"expired"}`,
      shown: "03:04:05 warning token_rejected why=expired",
    },
    { line: `error ${ORIGIN}: failed: Error: x`, shown: "03:04:05 error failed: Error: x" },
    { line: `information ${ORIGIN}: {"event":"notification_fetched"}`, shown: undefined },
    { line: "information host: item: [GET] /api/items/{id}", shown: undefined },
    { line: "    at main.js:1:1", shown: "    at main.js:1:1" },
  ])("is short: $line", ({ line, shown }) => {
    expect(show(line)).toBe(shown);
  });

  test.each([
    {
      line: "information host: GET /api/health 200 12 ms",
      json: {
        level: "info",
        event: "request",
        method: "GET",
        path: "/api/health",
        status: 200,
        durationMs: 12,
      },
    },
    {
      line: `information ${ORIGIN}: {"event":"notification_fetched"}`,
      json: { event: "notification_fetched" },
    },
    { line: "error host: it broke", json: { level: "error", origin: "host", message: "it broke" } },
    { line: "    at main.js:1:1", json: { message: "    at main.js:1:1" } },
  ])("is JSON with --verbose: $line", ({ line, json }) => {
    expect(JSON.parse(show(line, "json") ?? "")).toMatchObject(json);
  });
});
