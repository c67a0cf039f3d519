// The service as it runs, in a process that a test kills between any two of its steps: the built bundle under the
// local Functions host, with a proxy between it and the run's Azurite, and one between it and a hub emulator here.
import { randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { type FunctionsHostProcess, startFunctionsHostProcess } from "../../local/functionsHost/process.ts";
import { createHubEmulator, type HubEmulator } from "../../packages/notification-hubs-emulator/emulator.ts";
import { createIssuer } from "../../local/issuer.ts";
import { root } from "../../scripts/root.ts";
import { type Calls, createCalls, createSettings, fireTimer } from "./calls.ts";
import { createFaultProxy, type FaultProxy, type ProxiedRequest } from "./faultProxy.ts";
import { createStoreProxy, createTestStore } from "./store.ts";

/** One request of the app. */
interface Step {
  readonly to: "store" | "hub";
  /** Asked for each one that arrives there; the first that fits is it. */
  readonly isIt: (request: ProxiedRequest) => boolean;
  /** `before`: the other side never sees it. `after`: it took effect, and the app does not learn that. */
  readonly when: "before" | "after";
}

/** One push that the hub took. */
interface Push {
  readonly notificationId: string;
  /** As the hub calls it. */
  readonly platform: string;
  /** A tag, or the handle of one device. A push to several tags counts once for each. */
  readonly to: string;
}

interface Row {
  /** Without the prefix. */
  readonly table: string;
  readonly partitionKey?: string;
  readonly rowKey?: string;
  readonly [property: string]: unknown;
}

/**
 * Calls fail with what the connection fails with when the process dies before it has answered. Timers run only when
 * asked to.
 */
export interface CrashHarness extends Calls {
  readonly hub: HubEmulator;
  /** A `decide` that is set takes the place of a `killAt` before it; a `killAt` asks the one before it. */
  readonly storeProxy: FaultProxy;
  readonly hubProxy: FaultProxy;
  /** Every line that the app logged or its host printed, in all its lives. */
  readonly lines: readonly string[];
  /** A new life over new tables, with new keys; the hub and the proxies forget all. What still runs is killed. */
  readonly start: () => Promise<void>;
  /** The next life, over the same tables with the same keys. @throws Error while one is going on. */
  readonly restart: () => Promise<void>;
  /**
   * SIGKILL. Resolves when nothing is left of the process, and whatever it had asked for has its answer, but for what
   * a proxy holds. (So a hub that is to hang hangs at its proxy, not by `hub.fail`.)
   */
  readonly kill: () => Promise<void>;
  /** SIGTERM, as a platform that scales in: what runs may end. @throws Error when it did not end in order. */
  readonly terminate: () => Promise<void>;
  /** Kills the process at a step still to come; resolves when `kill` would. */
  readonly killAt: (step: Step) => Promise<void>;
  /** Moves the store's clock, which the app's own follows from the store's next answer on. */
  readonly advance: (seconds: number) => void;
  /**
   * Runs a timer function until it logs this event; without one, until it has begun.
   * @throws Error when it fails, or the process dies.
   */
  readonly runTimer: (name: string, endEvent?: string) => Promise<void>;
  /** In order. */
  readonly pushes: () => readonly Push[];
  /** Of all tables whose names begin so, as they stand in storage. */
  readonly rows: (beginning: string) => Promise<readonly Row[]>;
  readonly close: () => Promise<void>;
}

interface Life {
  readonly host: FunctionsHostProcess;
  readonly died: AbortController;
}

/** Nothing runs yet. Issuer, hub and proxies are made once and serve every life. */
export async function createCrashHarness(
  settings: Readonly<Record<string, string>> = {},
): Promise<CrashHarness> {
  const [issuer, hub, storeProxy] = await Promise.all([
    createIssuer(),
    createHubEmulator(),
    createStoreProxy(),
  ]);
  const hubProxy = await createFaultProxy(Number(new URL(hub.url).port));
  const proxies = { store: storeProxy, hub: hubProxy };
  const surroundings = {
    storageConnectionString: storeProxy.connectionString,
    hubConnectionString: hub.connectionStringVia(hubProxy.port),
    hubName: hub.hubName,
    issuer,
  };
  const functionKey = randomBytes(16).toString("hex");
  const lines: string[] = [];
  const output = new EventEmitter<{ line: [string] }>();
  let own = createSettings(surroundings);
  let aheadMs = 0;
  let life: Life | undefined;

  storeProxy.answerHeaders = () =>
    aheadMs === 0 ? undefined : { date: new Date(Date.now() + aheadMs).toUTCString() };

  function living(): Life {
    if (life === undefined) throw new Error("the app does not run");
    return life;
  }

  async function restart(): Promise<void> {
    if (life !== undefined) throw new Error("the app still runs");
    const host = await startFunctionsHostProcess({
      appDirectory: root,
      settings: { ...own, ...settings },
      keys: { default: functionKey },
      timers: false,
      onLine: (line) => {
        lines.push(line);
        output.emit("line", line);
      },
    });
    const started: Life = { host, died: new AbortController() };
    life = started;
    void host.exited.then(() => {
      started.died.abort(new Error("the app has died"));
      if (life === started) life = undefined;
    });
  }

  async function end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const ending = life;
    await ending?.host.kill(signal);
    await Promise.all([storeProxy.whenQuiet(), hubProxy.whenQuiet()]);
    if (signal === "SIGTERM" && ending !== undefined) {
      const { code } = await ending.host.exited;
      if (code !== 0) throw new Error(`the app ended with ${code}`);
    }
  }
  const kill = () => end("SIGKILL");

  const calls = createCalls({ url: () => living().host.url, issuer, functionKey });
  return {
    ...calls,
    hub,
    storeProxy,
    hubProxy,
    lines,
    start: async () => {
      await kill();
      for (const proxy of [storeProxy, hubProxy]) {
        proxy.decide = () => undefined;
        await proxy.setFault(undefined);
      }
      aheadMs = 0;
      hub.clear();
      own = createSettings(surroundings);
      await restart();
    },
    restart,
    kill,
    terminate: () => end("SIGTERM"),
    killAt: ({ to, isIt, when }) => {
      const proxy = proxies[to];
      const others = proxy.decide;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const die = () => kill().then(resolve, reject);
      let isOver = false;
      proxy.decide = async (request) => {
        if (isOver || !isIt(request)) return others(request);
        isOver = true;
        if (when === "after") return { kind: "holdAnswer", until: die };
        await die();
        return { kind: "reset" };
      };
      return promise;
    },
    advance: (seconds) => {
      aheadMs += seconds * 1000;
    },
    runTimer: async (name, endEvent) => {
      if (endEvent === undefined) return fireTimer(calls, name);
      const { signal } = living().died;
      let at = lines.length;
      await fireTimer(calls, name);
      for (; ; at++) {
        if (at === lines.length) await once(output, "line", { signal });
        const { timer, event } = toLogEntry(lines[at] ?? "");
        if (timer === name && event === endEvent) return;
        if (timer === name && event === "timer_failed") throw new Error(`${name} has failed`);
      }
    },
    pushes: () => toPushes(hub),
    rows: async (beginning) => {
      const { listTables, rawTable } = createTestStore({ prefix: own.TABLE_PREFIX });
      const tables = (await listTables()).filter((table) => table.startsWith(beginning));
      const rows = await Promise.all(
        tables.map(async (table) =>
          (await Array.fromAsync(rawTable(table).listEntities())).map((row) => ({ table, ...row })),
        ),
      );
      return rows.flat();
    },
    close: async () => {
      await kill();
      await Promise.all([storeProxy.close(), hubProxy.close(), issuer.close()]);
      await hub.close();
    },
  };
}

/** What the app logged, in a line of its host; nothing in the host's own. */
function toLogEntry(line: string): { readonly timer?: unknown; readonly event?: unknown } {
  const start = line.indexOf(": {");
  if (start < 0) return {};
  try {
    return JSON.parse(line.slice(start + 2)) as object;
  } catch {
    return {};
  }
}

function toPushes({ requests }: HubEmulator): readonly Push[] {
  return requests.flatMap(({ method, path, rawHeaders, body, status }) => {
    if (method !== "POST" || !path.includes("/messages") || status !== 201) return [];
    const header = (name: string) =>
      rawHeaders.find((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
    const notificationId = /[0-9A-HJKMNP-TV-Z]{32}/.exec(body.toString("utf8"))?.[0] ?? "";
    const platform = header("servicebusnotification-format") ?? "";
    const tags = header("servicebusnotification-tags")?.split(" || ");
    return (tags ?? [header("servicebusnotification-devicehandle") ?? ""]).map((to) => ({
      notificationId,
      platform,
      to,
    }));
  });
}
