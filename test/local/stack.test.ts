// All of it running: the stack that `npm start` starts, and the story that it plays.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { servePhone } from "../../local/phone.ts";
import { createStack } from "../../local/stack.ts";
import { CONTENT, playStory, USER } from "../../local/story.ts";
import { findTraces } from "../helpers/traces.ts";

test("the story holds, tells each step, and shows the bytes that were pushed", async () => {
  const stack = await createStack();
  const told: string[] = [];
  try {
    const story = await playStory({ stack, write: (line) => told.push(line) });
    expect(told.join("\n")).not.toContain("FAILED");
    expect(story.isTrue).toBe(true);
    for (const word of ["Registered", "Stored", "Pushed", "Woke", "Fetched", "Shown", "Refused"])
      expect(
        told.some((line) => line.includes(word)),
        word,
      ).toBe(true);
    const pushed = Buffer.from(stack.hub.deliveries.at(-1)?.body ?? "").toString("utf8");
    expect(pushed).toContain(story.id);
    expect(told.some((line) => line.includes(pushed))).toBe(true);
    for (const { body } of stack.hub.requests) expect(findTraces(body, CONTENT)).toEqual([]);
  } finally {
    await stack.close();
  }
});

test("the phone goes on: it fetches whatever it is woken for, and shows a long payload cut short", async () => {
  const stack = await createStack();
  const said: string[] = [];
  const phone = servePhone(stack, (line) => said.push(line));
  try {
    expect((await playStory({ stack, write: () => undefined })).isTrue).toBe(true);
    await expect.poll(() => said).toEqual([expect.stringContaining(CONTENT)]);
    await fetch(`${stack.host.url}/api/notifications`, {
      method: "POST",
      headers: { "x-functions-key": stack.functionKey, "content-type": "application/json" },
      body: JSON.stringify({ to: [USER], payload: "x".repeat(5000) }),
    });
    await expect.poll(() => said.length).toBe(2);
    expect(said[1]?.length).toBeLessThan(500);
    expect(said[1]).toContain(" characters)");
  } finally {
    phone.close();
    await stack.close();
  }
});

test("a story that does not hold says so", async () => {
  const stack = await createStack();
  const told: string[] = [];
  try {
    stack.hub.fail({ on: "send", answer: { status: 500 } });
    expect(await playStory({ stack, write: (line) => told.push(line) })).toMatchObject({ isTrue: false });
    expect(told.at(-1)).toContain("FAILED");
    expect(told.at(-1)).toContain("sendSecure");
  } finally {
    await stack.close();
  }
});

test("what was stored is there after a restart, under keys and tokens of before", async () => {
  const directory = await mkdtemp(join(tmpdir(), "secure-push-"));
  try {
    const first = await createStack({ directory });
    const token = await first.issuer.buildUserToken(USER);
    const ports = { issuer: Number(new URL(first.issuer.url).port) }; // a token names its issuer's address
    const { id, isTrue } = await playStory({ stack: first, write: () => undefined });
    await first.close();
    expect(isTrue).toBe(true);

    const second = await createStack({ directory, ports });
    try {
      expect(second.functionKey).toBe(first.functionKey);
      const got = await fetch(`${second.host.url}/api/notifications/${String(id)}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect(await got.json()).toMatchObject({ payload: { text: CONTENT } });
      // The phone is still known to service and hub.
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
