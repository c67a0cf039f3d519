// Send, retry, fetch, erase, redeliver, crash, a hub that comes and goes: in any order that can be thought of, the service
// does what a small model says. Real storage and hub; a crash cuts an instance off from both in the middle of a call.
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { type Answered, type Api, createApi } from "../helpers/api.ts";
import { createStoreProxy, type StoreProxy } from "../helpers/store.ts";

const USERS = ["ann", "bob", "cy"] as const; // cy has no device
/** `npm run soak` makes more of them. */
const RUNS = Number(process.env["RUNS"] ?? 3);

/** What is known of one call of sendSecure, with all its retries. */
interface Sending {
  readonly to: readonly string[];
  readonly payload: string;
  readonly key: string;
  /** Once promised. */
  id?: string;
  /** Whose part was erased; where it was promised to nobody yet, a later try may make it all the same. */
  readonly erased: Set<string>;
  readonly mayBeErased: Set<string>;
  /** Who has deleted it. */
  readonly deleted: Set<string>;
}

interface Model {
  readonly sendings: Sending[];
  isHubUp: boolean;
}

interface Real {
  /** Stays alive, and owns hub and keys. */
  readonly first: Api;
  readonly proxy: StoreProxy;
  api: Api;
}

const apis: Api[] = [];
const proxies: StoreProxy[] = [];
afterAll(async () => {
  for (const api of apis.toReversed()) await api.close();
  for (const proxy of proxies) await proxy.close();
});

async function startInstance(first: Api, proxy: StoreProxy): Promise<Api> {
  const api = await createApi("in process", {
    beside: first,
    storageConnectionString: proxy.connectionString,
  });
  apis.push(api);
  return api;
}

async function createReal(): Promise<Real> {
  const first = await createApi("in process");
  apis.push(first);
  const proxy = await createStoreProxy();
  proxies.push(proxy);
  for (const user of USERS.slice(0, 2))
    await first.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
  return { first, proxy, api: await startInstance(first, proxy) };
}

type Command = fc.AsyncCommand<Model, Real>;

function begin({ sendings }: Model, to: readonly string[]): Sending {
  const n = sendings.length;
  const none = { erased: new Set<string>(), mayBeErased: new Set<string>(), deleted: new Set<string>() };
  const sending = { to, payload: `p${n}`, key: `k${n}`, ...none };
  sendings.push(sending);
  return sending;
}

function trySend(real: Real, { to, payload, key }: Sending): Promise<Answered> {
  return real.api.send({ to, payload }, { "idempotency-key": key });
}

/** Whatever a call came to, it may only confirm what is known. */
function note(sending: Sending, answer: Answered): void {
  expect([201, 202, 409, 503], answer.text).toContain(answer.status);
  if (answer.status >= 400) return;
  const id = String(answer.json()["id"]);
  expect(sending.id ?? id).toBe(id);
  sending.id = id;
}

const fetchFor = (real: Real, user: string, id: string) =>
  real.first.as(user, "GET", `/api/notifications/${id}`);

class Send implements Command {
  readonly to: readonly string[];
  constructor(to: readonly string[]) {
    this.to = to;
  }
  check = () => true;
  run = async (model: Model, real: Real) => {
    const sending = begin(model, this.to);
    const answer = await trySend(real, sending);
    note(sending, answer);
    if (answer.status === 201) expect(["accepted", "noDevices"]).toContain(answer.json()["push"]);
  };
  toString = () => `send to ${this.to.join(" and ")}`;
}

/** The call dies at its n-th request to the store, before or after that took effect; nothing comes after it. */
class CrashWhileSending implements Command {
  readonly to: readonly string[];
  readonly n: number;
  readonly isAfter: boolean;
  constructor(to: readonly string[], n: number, isAfter: boolean) {
    this.to = to;
    this.n = n;
    this.isAfter = isAfter;
  }
  check = () => true;
  run = async (model: Model, real: Real) => {
    const sending = begin(model, this.to);
    let requests = 0;
    let isDead = false;
    real.proxy.decide = ({ path }) => {
      if (isDead) return { kind: "reset" };
      if (path.includes("keys") || ++requests < this.n) return undefined;
      isDead = true;
      return { kind: this.isAfter ? "loseAnswer" : "reset" };
    };
    note(sending, await trySend(real, sending));
    // What was under way is over with its process; another one takes its place.
    real.proxy.decide = () => undefined;
    real.api = await startInstance(real.first, real.proxy);
  };
  toString = () =>
    `crash ${this.isAfter ? "after" : "before"} request ${this.n} of a send to ${this.to.join(" and ")}`;
}

class Retry implements Command {
  readonly which: number;
  constructor(which: number) {
    this.which = which;
  }
  check = ({ sendings }: Readonly<Model>) => sendings.length > 0;
  run = async (model: Model, real: Real) => {
    const sending = model.sendings[this.which % model.sendings.length];
    if (sending !== undefined) note(sending, await trySend(real, sending));
  };
  toString = () => `retry ${this.which}`;
}

class Fetch implements Command {
  readonly which: number;
  constructor(which: number) {
    this.which = which;
  }
  check = ({ sendings }: Readonly<Model>) => sendings.some(({ id }) => id !== undefined);
  run = async (model: Model, real: Real) => {
    const promised = model.sendings.filter(({ id }) => id !== undefined);
    const sending = promised[this.which % promised.length];
    if (sending?.id === undefined) return;
    for (const user of USERS) {
      const got = await fetchFor(real, user, sending.id);
      if (sending.mayBeErased.has(user)) continue;
      const isGone = sending.erased.has(user) || sending.deleted.has(user);
      const isTheirs = sending.to.includes(user) && !isGone;
      expect(got.status, `${user} ${got.text}`).toBe(isTheirs ? 200 : 404);
      if (isTheirs) expect(got.json()["payload"]).toBe(sending.payload);
    }
  };
  toString = () => `fetch ${this.which}`;
}

class Delete implements Command {
  readonly which: number;
  readonly user: string;
  constructor(which: number, user: string) {
    this.which = which;
    this.user = user;
  }
  check = ({ sendings }: Readonly<Model>) => sendings.some(({ id }) => id !== undefined);
  run = async (model: Model, real: Real) => {
    const promised = model.sendings.filter(({ id }) => id !== undefined);
    const sending = promised[this.which % promised.length];
    if (sending?.id === undefined) return;
    // Of what is not theirs, nothing changes.
    const answer = await real.first.as(this.user, "DELETE", `/api/notifications/${sending.id}`);
    expect(answer.status, answer.text).toBe(204);
    if (sending.to.includes(this.user)) sending.deleted.add(this.user);
  };
  toString = () => `${this.user} deletes ${this.which}`;
}

class Erase implements Command {
  check = () => true;
  run = async (model: Model, real: Real) => {
    real.first.advance(1);
    expect((await real.first.post("/api/recipients/erase", { to: ["cy"] })).status).toBe(202);
    real.first.advance(1);
    // Leases are over by then, and the task has come to its end.
    for (let pass = 0; pass < 2; pass++) await redeliver(real);
    for (const { id, erased, mayBeErased } of model.sendings)
      (id === undefined ? mayBeErased : erased).add("cy");
  };
  toString = () => "erase cy";
}

class Redeliver implements Command {
  check = () => true;
  run = (_model: Model, real: Real) => redeliver(real);
  toString = () => "redeliver";
}

class SwitchHub implements Command {
  readonly isUp: boolean;
  constructor(isUp: boolean) {
    this.isUp = isUp;
  }
  check = ({ isHubUp }: Readonly<Model>) => isHubUp !== this.isUp;
  run = (model: Model, real: Real) => {
    model.isHubUp = this.isUp;
    if (this.isUp) real.first.hub.clearFaults();
    else real.first.hub.fail({ on: "send", times: 1e6, answer: "reset" });
    return Promise.resolve();
  };
  toString = () => `hub ${this.isUp ? "up" : "down"}`;
}

async function redeliver(real: Real): Promise<void> {
  real.first.advance(301);
  await real.first.runTimer("redeliverPushes");
}

const recipients = fc.subarray([...USERS], { minLength: 1 });
const commands = fc.commands(
  [
    recipients.map((to) => new Send(to)),
    recipients.map((to) => new Send(to)),
    fc
      .tuple(recipients, fc.integer({ min: 1, max: 14 }), fc.boolean())
      .map(([to, n, isAfter]) => new CrashWhileSending(to, n, isAfter)),
    fc.nat(20).map((which) => new Retry(which)),
    fc.nat(20).map((which) => new Fetch(which)),
    fc.tuple(fc.nat(20), fc.constantFrom(...USERS)).map(([which, user]) => new Delete(which, user)),
    fc.constant(new Erase()),
    fc.constant(new Redeliver()),
    fc.boolean().map((isUp) => new SwitchHub(isUp)),
  ],
  { maxCommands: 14 },
);

test(
  "P2, P3, P4: whatever comes in whatever order, what was promised holds",
  async () => {
    await fc.assert(
      fc.asyncProperty(commands, async (cmds) => {
        const real = await createReal();
        const model: Model = { sendings: [], isHubUp: true };
        await fc.asyncModelRun(() => ({ model, real }), cmds);
        real.first.hub.clearFaults();
        for (let pass = 0; pass < 3; pass++) await redeliver(real);
        // Each try with the key of what was not promised may still promise it.
        for (const sending of model.sendings)
          for (let tries = 0; sending.id === undefined && tries < 3; tries++) {
            note(sending, await trySend(real, sending));
            await redeliver(real);
          }
        for (const { id, to, erased, mayBeErased, deleted, payload } of model.sendings) {
          expect(id).toBeDefined();
          const told = real.first.hub.deliveries.filter(({ body }) => body.includes(String(id)));
          const reached = new Set(told.map(({ pushChannel }) => pushChannel));
          // What was deleted before it was pushed is pushed to nobody.
          for (const user of to)
            if (user !== "cy" && !deleted.has(user))
              expect(reached.has(user), `${user} ${String(id)}`).toBe(true);
          for (const user of reached) expect(to).toContain(user);
          for (const user of to) {
            const got = await fetchFor(real, user, String(id));
            const isGone = erased.has(user) || deleted.has(user);
            if (!mayBeErased.has(user)) expect(got.status).toBe(isGone ? 404 : 200);
            if (got.status === 200) expect(got.json()["payload"]).toBe(payload);
          }
          const { receipts } = (await real.first.post("/api/receipts", { id, to })).json() as {
            readonly receipts: readonly { readonly to: string; readonly push: string }[];
          };
          for (const { to: user, push } of receipts) {
            const alive = user === "cy" ? "noDevices" : "accepted";
            if (!mayBeErased.has(user) && !deleted.has(user))
              expect(push).toBe(erased.has(user) ? "unknown" : alive);
          }
        }
      }),
      { numRuns: RUNS },
    );
  },
  60_000 + RUNS * 20_000,
);
