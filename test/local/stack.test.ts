// The stack that `npm start` starts, the story that it plays, and the commands that it offers.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COLUMNS } from "../../local/columns.ts";
import { toCommands } from "../../local/commands.ts";
import { createDevices, type SimulatedDevice, USER } from "../../local/devices.ts";
import { runDevices } from "../../local/liveDevices.ts";
import type { Part } from "../../local/services.ts";
import { createStack, type Stack } from "../../local/stack.ts";
import { CONTENT, playStory } from "../../local/story.ts";
import { findTraces } from "../helpers/traces.ts";

describe("a stack", () => {
  const parts: Part[] = [];
  const lines: string[] = [];
  let stack: Stack;
  let devices: readonly SimulatedDevice[];
  beforeAll(async () => {
    stack = await createStack({ onPart: (part) => parts.push(part), onLine: (line) => lines.push(line) });
    devices = createDevices(stack);
  });
  afterAll(async () => {
    for (const device of devices) device.close();
    await stack.close();
  });

  test("reports each part as it starts, the Functions host last", () => {
    expect(parts.at(-1)).toEqual({ name: "Functions host", url: stack.host.url });
    for (const name of ["Table Storage", "Token issuer", "Notification Hub", "MPNS endpoint"])
      expect(parts.map((part) => part.name)).toContain(name);
    expect(parts.filter(({ takenPort }) => takenPort !== undefined)).toEqual([]); // none was asked for
  });

  test("plays the story: it explains each step, shows what was pushed, and fits 80 columns", async () => {
    const written: string[] = [];
    const story = await playStory({ stack, devices, write: (line) => written.push(line) });
    expect(written.join("\n")).not.toContain("FAILED");
    expect(story.isTrue).toBe(true);
    for (const word of ["Registered", "Stored", "Pushed", "Woke up", "Fetched", "Shown", "Refused"])
      expect(
        written.some((line) => line.includes(word)),
        word,
      ).toBe(true);
    const pushed = stack.hub.deliveries.at(-1)?.body ?? "";
    expect(pushed).toContain(story.id);
    expect(written.map((line) => line.trimStart()).join("")).toContain(pushed);
    for (const { body } of stack.hub.requests) expect(findTraces(body, CONTENT)).toEqual([]);
    const [toPhone] = stack.mpns.received.slice(-1);
    expect(toPhone?.body).toBe(story.id);
    expect(written.join("\n")).toContain(`X-MessageID: ${toPhone?.headers["x-messageid"]}`);
    expect(written.filter((line) => line.length > COLUMNS)).toEqual([]);
  });

  test("offers commands that work as they are printed, and fit 80 columns", async () => {
    const { id } = await playStory({ stack, devices, write: () => undefined });
    const urls = { api: `${stack.host.url}/api`, issuer: stack.issuer.url, hub: stack.hub.url };
    const text = toCommands({ ...urls, functionKey: stack.functionKey, notificationId: id });
    expect(text.split("\n").filter((line) => line.length > COLUMNS)).toEqual([]);
    const script = text.split("\n").filter((line) => line.startsWith("  "));
    const { stdout } = await promisify(execFile)("sh", ["-euc", script.join("\n")]);
    const answers = stdout.trimEnd().split("\n"); // an answer without a line end would run into the next
    expect(JSON.parse(answers[0] ?? "")).toMatchObject({ push: "accepted" });
    expect(JSON.parse(answers[1] ?? "")).toMatchObject({ id, payload: { text: CONTENT } });
    expect(JSON.parse(answers.at(-2) ?? "")).toMatchObject({ payload: { text: "Hello Bob" } });
    expect(JSON.parse(answers.at(-1) ?? "")).toHaveProperty("openapi");
  });

  test("lets its devices go on: they fetch what they are woken up for, and show a long payload cut short", async () => {
    const said: string[] = [];
    const running = runDevices(stack, devices, (text) => said.push(text));
    try {
      await fetch(`${stack.host.url}/api/notifications`, {
        method: "POST",
        headers: { "x-functions-key": stack.functionKey, "content-type": "application/json" },
        body: JSON.stringify({ to: [USER], payload: "x".repeat(5000) }),
      });
      await expect.poll(() => said.find((text) => text.includes("xxxx"))).toBeDefined();
      const last = said.find((text) => text.includes("xxxx"));
      expect(last?.length).toBeLessThan(500);
      expect(last).toContain(" characters)");
    } finally {
      running.close();
    }
  });

  test("logs one line for each request, without the query, which may hold a key", async () => {
    await fetch(`${stack.host.url}/api/health?code=${stack.functionKey}`);
    await expect
      .poll(() => lines.find((line) => line.includes("GET /api/health")))
      .toMatch(/^information host: GET \/api\/health \d{3} \d+ ms$/);
    expect(lines.join("\n")).not.toContain(stack.functionKey);
  });

  test("says so when a step of the story fails", async () => {
    const written: string[] = [];
    stack.hub.fail({ on: "send", times: 100, answer: { status: 500 } });
    const story = await playStory({ stack, devices, write: (line) => written.push(line) });
    stack.hub.clearFaults();
    expect(story.isTrue).toBe(false);
    expect(written.join("\n")).toContain("FAILED");
    expect(written.join("\n")).toContain("sendSecure");
  });
});

test("what was stored is there after a restart, and earlier keys and tokens are still valid", async () => {
  const directory = await mkdtemp(join(tmpdir(), "secure-push-"));
  try {
    const first = await createStack({ directory });
    const devices = createDevices(first);
    const token = await first.issuer.buildUserToken(USER);
    const ports = { issuer: Number(new URL(first.issuer.url).port) }; // a token names its issuer's address
    const { id, isTrue } = await playStory({ stack: first, devices, write: () => undefined });
    await first.close();
    expect(isTrue).toBe(true);

    const second = await createStack({ directory, ports });
    try {
      expect(second.functionKey).toBe(first.functionKey);
      const got = await fetch(`${second.host.url}/api/notifications/${String(id)}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect(await got.json()).toMatchObject({ payload: { text: CONTENT } });
      // The service and the hub still know the phone.
      const sent = await fetch(`${second.host.url}/api/notifications`, {
        method: "POST",
        headers: { "x-functions-key": second.functionKey, "content-type": "application/json" },
        body: JSON.stringify({ to: [USER], payload: 1 }),
      });
      expect(await sent.json()).toMatchObject({ push: "accepted" });
      expect(second.hub.deliveries).toHaveLength(1);
    } finally {
      await second.close();
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
