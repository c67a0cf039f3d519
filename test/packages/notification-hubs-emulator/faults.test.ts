import { describe, expect, test } from "vitest";
import { createHubEmulator } from "../../../packages/notification-hubs-emulator/emulator.ts";
import { createSdkClient, register, request, sendTo, startHub } from "./clients.ts";

describe("a fault", () => {
  test("answers in the hub's place, for as many requests of its kind as it is for", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    hub.fail({ on: "send", times: 2, answer: { status: 429, headers: { "Retry-After": "7" } } });
    for (let i = 0; i < 2; i++) {
      await expect(createSdkClient(hub).getInstallation("i1")).resolves.toMatchObject({ platform: "apns" });
      await expect(sendTo(hub, "t")).rejects.toMatchObject({ statusCode: 429 });
    }
    expect(hub.deliveries).toEqual([]);
    await expect(sendTo(hub, "t")).resolves.toMatchObject({ state: "Enqueued" });
  });

  test("carries headers and body as ordered, and faults queue", async () => {
    const hub = await startHub();
    hub.fail({ on: "installation", answer: { status: 503, headers: { "Retry-After": "2" }, body: "busy" } });
    hub.fail({ answer: { status: 500 } });
    hub.fail({ answer: { status: 502 } });
    const first = await request(hub, "GET", "installations/i1");
    expect([first.status, first.headers.get("retry-after"), await first.text()]).toEqual([503, "2", "busy"]);
    expect((await request(hub, "GET", "installations/i1")).status).toBe(500);
    hub.clearFaults();
    expect((await request(hub, "GET", "installations/i1")).status).toBe(404);
    expect(hub.requests.map(({ status }) => status)).toEqual([503, 500, 404]);
  });

  test("that resets has no effect, and one that resets afterwards has its effect", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    hub.fail({ on: "send", answer: "reset" });
    await expect(sendTo(hub, "t")).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(hub.deliveries).toHaveLength(0);
    hub.fail({ on: "send", answer: "resetAfter" });
    await expect(sendTo(hub, "t")).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(hub.deliveries).toHaveLength(1);
  });

  test("that hangs ends with the caller's patience or with the emulator", async () => {
    const hub = await createHubEmulator();
    hub.fail({ times: 2, answer: "hang" });
    const patience = new AbortController();
    const impatient = createSdkClient(hub).getInstallation("i1", { abortSignal: patience.signal });
    const hanging = createSdkClient(hub).getInstallation("i1");
    const ended = expect(hanging).rejects.toMatchObject({ code: expect.any(String) });
    await expect.poll(() => hub.requests.length).toBe(2);
    patience.abort();
    await expect(impatient).rejects.toMatchObject({ name: "AbortError" });
    expect(hub.requests.map(({ status }) => status)).toEqual([undefined, undefined]);
    await hub.close();
    await ended;
  });

  test("that is slow takes effect at once and is answered later", async () => {
    const hub = await startHub();
    await register(hub, "i1", "t");
    hub.fail({ on: "send", answer: { delayMs: 50 } });
    const order: string[] = [];
    hub.onDelivery(() => order.push("delivered"));
    await sendTo(hub, "t");
    order.push("answered");
    expect(order).toEqual(["delivered", "answered"]);
  });

  test("that is slower than the emulator lives does not keep it", async () => {
    const hub = await createHubEmulator();
    hub.fail({ answer: { delayMs: 2 ** 30 } });
    const slow = expect(request(hub, "GET", "installations/i1")).rejects.toThrow();
    await expect.poll(() => hub.requests.length).toBe(1);
    await hub.close();
    await slow;
  });
});
