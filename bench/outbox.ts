// Question: what does a pass of redeliverPushes cost as the outbox grows while the hub cannot be reached, does anything that
// needs no hub wait for it, and how fast does the backlog drain once the hub is back?
// Each size in a fresh process over its own tables, against one Azurite. Run: npm run bench -- outbox [SIZE...]
import { randomBytes } from "node:crypto";
import { createAzurite } from "../local/azurite.ts";
import { createLog } from "../shared/base/log.ts";
import { Secret } from "../shared/base/secret.ts";
import { UserId } from "../shared/domain/notification.ts";
import { createHubSender } from "../shared/push/hub.ts";
import type { Service } from "../shared/service.ts";
import type { Store } from "../shared/store/store.ts";
import { createTables } from "../shared/store/table.ts";
import { createTableStore } from "../shared/store/tableStore.ts";
import { runChild } from "./helpers/children.ts";
import { seedOutbox } from "./helpers/outboxRows.ts";
import { reportAtLeast, reportAtMost, toCell, toMedian } from "./helpers/report.ts";
import { startHub, toHubConnection } from "./helpers/servers.ts";
import { ALERT_TEXT, createBenchService, createMovedClock } from "./helpers/service.ts";

const SIZES = [2_000, 20_000, 200_000];
/** Rows that the drain finds due, and whose payloads exist. */
const DRAINED = 3_000;
/** Rows at the beginning of the queue whose payloads exist: what a pass with the hub away touches. */
const TOUCHED = 300;
const HUB_DELAY_MS = 100;
const PASSES = 5;
/** The largest allowed ratio of the cost at the largest size to that at the smallest, for costs that should not grow. */
const MAX_GROWTH = 1.5;
const never = new AbortController().signal;
const silentLog = createLog(() => undefined);

interface Measured {
  readonly awayCalls: number;
  /** Of each pass. */
  readonly awayCpuMs: readonly number[];
  readonly erasureMs: number;
  readonly erasureCalls: number;
  readonly rowsPerSecond: number;
  readonly cpuMsPerRow: number;
}

const [storage, hubUrl, sizeText] = process.argv.slice(2);
if (storage?.includes("=") === true && hubUrl !== undefined) {
  process.send?.(await measure(storage, hubUrl, Number(sizeText)));
  process.disconnect();
} else await compare(process.argv.slice(2).map(Number));

interface World {
  readonly service: Service;
  readonly store: Store;
  readonly counts: { calls: number };
}

/** One instance; `observe` is called once for each answer of the store. */
function createWorld(storageConnection: string, hubConnection: string): World {
  const counts = { calls: 0 };
  const { clock: moved, sleep } = createMovedClock(silentLog);
  const clock = { ...moved, observe: () => void counts.calls++ };
  const tables = createTables({
    storage: {
      tablePrefix: `b${randomBytes(8).toString("hex")}`,
      connectionString: new Secret(storageConnection),
    },
    clock,
    allowLoopback: true,
  });
  const store = createTableStore(tables);
  const hub = createHubSender({
    connectionString: new Secret(hubConnection),
    hubName: "hub",
    alertText: ALERT_TEXT,
    allowLoopback: true,
    clock,
  });
  return { service: createBenchService(store, hub, { clock, sleep }), store, counts };
}

interface Cost {
  readonly ms: number;
  readonly cpuMs: number;
  readonly calls: number;
}

async function cost(world: World, work: () => Promise<unknown>): Promise<Cost> {
  const before = world.counts.calls;
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  await work();
  const ms = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(cpu);
  return { ms, cpuMs: (user + system) / 1000, calls: world.counts.calls - before };
}

async function measure(storageConnection: string, hub: string, size: number): Promise<Measured> {
  const away = createWorld(storageConnection, toHubConnection(9));
  await seedOutbox(away.store, size, TOUCHED);
  const pass = (world: World) => world.service.redeliver(silentLog, never, never);
  await away.service.redeliver(silentLog, AbortSignal.abort(), never); // connections and keys
  const passes: Cost[] = [];
  for (let i = 0; i < PASSES; i++) passes.push(await cost(away, () => pass(away)));
  const awayCalls = toMedian(passes.map(({ calls }) => calls));
  const erased = await measureErasure(away, () => pass(away));

  const draining = createWorld(storageConnection, hub);
  await seedOutbox(draining.store, DRAINED, DRAINED);
  const drained = await cost(draining, () => pass(draining));
  const { open } = await draining.store.countOutbox(never);
  if (open > 0) throw new Error(`${open} rows were not drained`);
  return {
    awayCalls,
    awayCpuMs: passes.map(({ cpuMs }) => cpuMs),
    erasureMs: erased.ms,
    erasureCalls: erased.calls - awayCalls,
    rowsPerSecond: DRAINED / (drained.ms / 1000),
    cpuMsPerRow: drained.cpuMs / DRAINED,
  };
}

/** A user with twenty notifications, erased beside the backlog; the time of the pass that does it. */
async function measureErasure(world: World, pass: () => Promise<void>): Promise<Cost> {
  const user = UserId.parse("user");
  const context = { log: silentLog, signal: never };
  for (let i = 0; i < 20; i++)
    await world.service.send(
      { request: { to: [user], payload: i, urgency: "normal" }, payload: new Secret(String(i)) },
      context,
    );
  await world.service.eraseRecipients([user], context);
  const erased = await cost(world, pass);
  const left = await world.service.list({ unread: false, limit: 100 }, user, context);
  if (!left.ok || left.value.notifications.length > 0) throw new Error("the user is not erased");
  return erased;
}

async function compare(sizes: readonly number[]): Promise<void> {
  const azurite = await createAzurite();
  const hub = await startHub(HUB_DELAY_MS);
  try {
    const results = new Map<number, Measured>();
    for (const size of sizes.length > 0 ? sizes : SIZES) {
      const measured = await runChild(import.meta.url, [
        azurite.connectionString,
        hub.connectionString,
        String(size),
      ]);
      results.set(size, measured as Measured); // what measure() made
    }
    print(results);
  } finally {
    hub.close();
    await azurite.close();
  }
}

function print(results: ReadonlyMap<number, Measured>): void {
  console.log(
    "| open rows | calls of a pass, hub away | its CPU, ms | erasure, s | its calls | drained rows/s | CPU a row, ms |",
  );
  console.log("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
  for (const [size, one] of results)
    console.log(
      `| ${size} | ${one.awayCalls} | ${toCell(one.awayCpuMs, 0)} | ${(one.erasureMs / 1000).toFixed(1)} | ${one.erasureCalls} | ${one.rowsPerSecond.toFixed(0)} | ${one.cpuMsPerRow.toFixed(2)} |`,
    );
  const all = [...results.values()];
  const [first, last] = [all[0], all.at(-1)];
  if (first === undefined || last === undefined) return;
  console.log("");
  const what = "a pass with the hub away, most to fewest rows";
  reportAtMost({ what: `${what}, table calls`, values: [last.awayCalls / first.awayCalls] }, MAX_GROWTH);
  reportAtMost(
    { what: `${what}, CPU`, values: [toMedian(last.awayCpuMs) / toMedian(first.awayCpuMs)] },
    MAX_GROWTH,
  );
  reportAtLeast(
    { what: "rows drained a second, hub 100 ms away", values: all.map((one) => one.rowsPerSecond) },
    300,
  );
  reportAtMost({ what: "CPU of a drained row, ms", values: all.map((one) => one.cpuMsPerRow) }, 2);
}
