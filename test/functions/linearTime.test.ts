// R151: whatever a caller sends is read in time proportional to its length. The texts are 200,000 characters long:
// quadratic time would be ten seconds and more for each, and linear time is milliseconds. Each reader runs in a thread, which is stopped
// after a time that no slow machine reaches.
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { READERS } from "./hostileReaders.ts";

const LIMIT_MS = 20_000;

test.each(Object.keys(READERS))("R151: %s is read in linear time", async (reader) => {
  const worker = new Worker(new URL("hostileReaders.ts", import.meta.url), { workerData: { reader } });
  try {
    const [count] = (await once(worker, "message", { signal: AbortSignal.timeout(LIMIT_MS) })) as [number];
    expect(count).toBeGreaterThan(50);
  } finally {
    await worker.terminate();
  }
});
