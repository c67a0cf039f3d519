// P3 through a long outage, in real time: `npm run soak:outage`. The built bundle under the local host, with its own timers,
// takes 50 sends a second. After a minute the hub is away for ten; then it answers again, after 100 ms each time. Sends go
// on throughout. It ends when no push is pending any more, and fails if one was lost.
// OUTAGE_SECONDS and SENDS_PER_SECOND change the figures.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createAzurite } from "../../local/azurite.ts";
import { startFunctionsHostProcess } from "../../local/functionsHost/process.ts";
import { readId } from "../../local/device.ts";
import { createIssuer } from "../../local/issuer.ts";
import { createHubEmulator, type HubEmulator } from "../../packages/notification-hubs-emulator/emulator.ts";
import { bundleApp } from "../../scripts/bundle.ts";
import { root } from "../../scripts/root.ts";
import { type Calls, createCalls, createSettings } from "../helpers/calls.ts";

const OUTAGE_SECONDS = Number(process.env["OUTAGE_SECONDS"] ?? 600);
const SENDS_PER_SECOND = Number(process.env["SENDS_PER_SECOND"] ?? 50);
const HEALTHY_SECONDS = 60;
const MAX_DRAIN_SECONDS = 3_600;
const HUB_DELAY_MS = 100;
const USERS = Array.from({ length: 100 }, (_, i) => `user-${i}`);
const REPORT_SECONDS = 30;

/** What the sender, the hub and the last pass know. */
interface Progress {
  readonly accepted: { readonly id: string; readonly user: string }[];
  /** Calls that were not answered with a 2xx, by what came instead. */
  readonly refused: Map<string, number>;
  /** How often each ID was pushed to each user, of the hub's deliveries that were looked at so far. */
  readonly pushes: Map<string, number>;
  seen: number;
  phase: "healthy" | "outage" | "drain" | "over";
  /** Rows of the outbox after the last pass. */
  open: number;
}

const progress: Progress = {
  accepted: [],
  refused: new Map(),
  pushes: new Map(),
  seen: 0,
  phase: "healthy",
  open: 0,
};
await bundleApp();
const azurite = await createAzurite();
const issuer = await createIssuer();
const hub = await createHubEmulator();
const functionKey = randomBytes(16).toString("hex");
const host = await startFunctionsHostProcess({
  appDirectory: root,
  settings: createSettings({
    storageConnectionString: azurite.connectionString,
    hubConnectionString: hub.connectionString,
    hubName: hub.hubName,
    issuer,
  }),
  keys: { default: functionKey },
  onLine: (line) => notePass(line),
});
try {
  const calls = createCalls({ url: () => host.url, issuer, functionKey });
  for (const user of USERS)
    await calls.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
  const sending = sendSteadily(calls);
  const drainSeconds = await goThrough(hub);
  progress.phase = "over";
  await sending;
  await waitUntil(() => countUnpushed() === 0, MAX_DRAIN_SECONDS); // what was sent last
  report(drainSeconds);
} finally {
  await host.close();
  await hub.close();
  await issuer.close();
  await azurite.close();
}

function notePass(line: string): void {
  const [, open] = /"event":"pushes_redelivered".*"open":(\d+)/.exec(line) ?? [];
  if (open !== undefined) progress.open = Number(open);
}

function noteRefused(answer: string): void {
  progress.refused.set(answer, (progress.refused.get(answer) ?? 0) + 1);
}

async function sendSteadily({ send }: Calls): Promise<void> {
  const running = new Set<Promise<void>>();
  const startedMs = performance.now();
  for (let number = 0; progress.phase !== "over"; number++) {
    const user = USERS[number % USERS.length] ?? "";
    const one = send({ to: [user], payload: number })
      .then((answer) => {
        if (answer.status === 201 || answer.status === 202)
          progress.accepted.push({ id: String(answer.json()["id"]), user });
        else noteRefused(`status ${answer.status}`);
      })
      .catch(() => noteRefused("no answer"))
      .finally(() => running.delete(one));
    running.add(one);
    const nextMs = startedMs + ((number + 1) * 1000) / SENDS_PER_SECOND;
    await sleep(Math.max(0, nextMs - performance.now()));
  }
  await Promise.all(running);
}

/** Resolves with the seconds from the hub's return until all that was accepted before was pushed. */
async function goThrough({ fail, clearFaults }: HubEmulator): Promise<number> {
  const slow = { on: "send", answer: { delayMs: HUB_DELAY_MS }, times: Infinity } as const;
  fail(slow);
  await tell(HEALTHY_SECONDS);
  clearFaults();
  fail({ answer: "reset", times: Infinity });
  progress.phase = "outage";
  await tell(OUTAGE_SECONDS);
  clearFaults();
  fail(slow);
  progress.phase = "drain";
  const before = progress.accepted.length;
  const startedMs = performance.now();
  await waitUntil(() => countUnpushed(before) === 0, MAX_DRAIN_SECONDS);
  return (performance.now() - startedMs) / 1000;
}

async function tell(seconds: number): Promise<void> {
  for (let left = seconds; left > 0; left -= REPORT_SECONDS) {
    await sleep(Math.min(left, REPORT_SECONDS) * 1000);
    console.log(
      `${progress.phase}: ${progress.accepted.length} accepted, ${countUnpushed()} of them not pushed yet, ` +
        `${progress.open} open after the last pass`,
    );
  }
}

async function waitUntil(isReached: () => boolean, seconds: number): Promise<void> {
  for (let waited = 0; !isReached() && waited < seconds; waited++) {
    if (waited % REPORT_SECONDS === 0) await tell(1);
    else await sleep(1_000);
  }
}

/** Of the first so many accepted sends, those whose ID was not pushed yet. */
function countUnpushed(among = Infinity): number {
  const { accepted, pushes } = progress;
  for (const delivery of hub.deliveries.slice(progress.seen)) {
    const name = `${readId(delivery)} to ${delivery.pushChannel}`;
    pushes.set(name, (pushes.get(name) ?? 0) + 1);
    progress.seen++;
  }
  return accepted.slice(0, among).filter(({ id, user }) => !pushes.has(`${id} to ${user}`)).length;
}

function report(drainSeconds: number): void {
  const lost = countUnpushed();
  const twice = [...progress.pushes.values()].filter((count) => count > 1).length;
  console.log(
    `\n${progress.accepted.length} accepted, ${JSON.stringify(Object.fromEntries(progress.refused))} refused; ` +
      `drained within ${drainSeconds.toFixed(0)} s of the hub's return; ${twice} pushed more than once; ${lost} lost`,
  );
  if (lost > 0) process.exitCode = 1;
}
