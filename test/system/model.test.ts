// Send, retry, fetch, erase, redeliver, crash, a hub and destinations that come and go, devices that are gone: in any
// order that can be thought of, the service does what a small model says. Real storage and hub, and a direct test sender
// beside it (modelDevices.ts); a crash cuts an instance off from the store in the middle of a call.
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { type Answered, type Api, createApi } from "../helpers/api.ts";
import { createStoreProxy, type StoreProxy } from "../helpers/store.ts";
import {
  createModelDevices,
  type Destination,
  DESTINATIONS,
  hasDirect,
  LONG_SECONDS,
  type ModelDevices,
  type State,
  STATES,
  type User,
  USERS,
} from "./modelDevices.ts";

/** `npm run soak` makes more of them. */
const RUNS = Number(process.env["RUNS"] ?? 3);

/** What is known of one call of sendSecure, with all its retries. */
interface Sending {
  readonly to: readonly string[];
  readonly payload: string;
  readonly key: string;
  /** Of its recipients' direct devices, when it was first tried. */
  readonly addresses: readonly string[];
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
  readonly devices: ModelDevices;
}

interface Real {
  /** Stays alive, and owns hub and keys. */
  readonly first: Api;
  readonly proxy: StoreProxy;
  readonly devices: ModelDevices;
  api: Api;
}

const apis: Api[] = [];
const proxies: StoreProxy[] = [];
afterAll(async () => {
  for (const api of apis.toReversed()) await api.close();
  for (const proxy of proxies) await proxy.close();
});

async function startInstance({ first, proxy, devices }: Omit<Real, "api">): Promise<Api> {
  const api = await createApi("in process", {
    beside: first,
    senders: [devices.direct.sender],
    storageConnectionString: proxy.connectionString,
  });
  apis.push(api);
  return api;
}

async function createReal(): Promise<Real> {
  const devices = createModelDevices(() => first);
  const first = await createApi("in process", { senders: [devices.direct.sender] });
  apis.push(first);
  const proxy = await createStoreProxy();
  proxies.push(proxy);
  await devices.register();
  const lasting = { first, proxy, devices };
  return { ...lasting, api: await startInstance(lasting) };
}

type Command = fc.AsyncCommand<Model, Real>;

function begin({ sendings, devices }: Model, to: readonly string[]): Sending {
  const n = sendings.length;
  const addresses = devices.addressesOf(to);
  const none = { erased: new Set<string>(), mayBeErased: new Set<string>(), deleted: new Set<string>() };
  const sending = { to, payload: `p${n}`, key: `k${n}`, addresses, ...none };
  sendings.push(sending);
  return sending;
}

function trySend(
  real: Real,
  { to, payload, key }: Sending,
  kind: "send" | "crash" = "send",
): Promise<Answered> {
  real.devices.beginCall(kind);
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

/** Each device whose sender and destination are up has its push, and the receipt says what waits for the others. */
async function expectSettled(real: Real, sendings: readonly Sending[]): Promise<void> {
  await Promise.all(
    sendings.map(async (sending) => {
      if (sending.id === undefined) return;
      real.devices.expectPushed(sending);
      const { id, to } = sending;
      const { receipts } = (await real.first.post("/api/receipts", { id, to })).json() as {
        readonly receipts: readonly { readonly to: string; readonly push: string }[];
      };
      for (const { to: user, push } of receipts) expectReceipt(real, sending, user, push);
    }),
  );
}

function expectReceipt({ devices }: Real, sending: Sending, user: string, push: string): void {
  const { erased, mayBeErased, deleted } = sending;
  if (mayBeErased.has(user) || deleted.has(user)) return;
  const expected = erased.has(user) ? "unknown" : devices.toReceipt(sending, user);
  if (expected !== undefined) expect(push, `${user} ${sending.id}`).toBe(expected);
}

const promisedOf = ({ sendings }: Readonly<Model>) =>
  sendings.filter((sending): sending is Sending & { id: string } => sending.id !== undefined);

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
    await expectSettled(real, [sending]);
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
    note(sending, await trySend(real, sending, "crash"));
    // What was under way is over with its process; another one takes its place.
    real.proxy.decide = () => undefined;
    real.api = await startInstance(real);
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

/** Works on one of the sendings that were promised. */
abstract class OnPromised implements Command {
  readonly which: number;
  constructor(which: number) {
    this.which = which;
  }
  check = (model: Readonly<Model>) => promisedOf(model).length > 0;
  run = async (model: Model, real: Real) => {
    const promised = promisedOf(model);
    const sending = promised[this.which % promised.length];
    if (sending !== undefined) await this.work(sending, real);
  };
  protected abstract work(sending: Sending & { readonly id: string }, real: Real): Promise<void>;
}

class Fetch extends OnPromised {
  protected async work(sending: Sending & { readonly id: string }, real: Real): Promise<void> {
    for (const user of USERS) {
      const got = await fetchFor(real, user, sending.id);
      if (sending.mayBeErased.has(user)) continue;
      const isGone = sending.erased.has(user) || sending.deleted.has(user);
      const isTheirs = sending.to.includes(user) && !isGone;
      expect(got.status, `${user} ${got.text}`).toBe(isTheirs ? 200 : 404);
      if (isTheirs) expect(got.json()["payload"]).toBe(sending.payload);
    }
  }
  override toString = () => `fetch ${this.which}`;
}

class Delete extends OnPromised {
  readonly user: string;
  constructor(which: number, user: string) {
    super(which);
    this.user = user;
  }
  protected async work(sending: Sending & { readonly id: string }, real: Real): Promise<void> {
    // Of what is not theirs, nothing changes.
    const answer = await real.first.as(this.user, "DELETE", `/api/notifications/${sending.id}`);
    expect(answer.status, answer.text).toBe(204);
    if (sending.to.includes(this.user)) sending.deleted.add(this.user);
  }
  override toString = () => `${this.user} deletes ${this.which}`;
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

/** Soon: within a pause. Late: when everything is due. */
class Redeliver implements Command {
  readonly isSoon: boolean;
  constructor(isSoon: boolean) {
    this.isSoon = isSoon;
  }
  check = () => true;
  run = async (model: Model, real: Real) => {
    await redeliver(real, this.isSoon ? 31 : LONG_SECONDS);
    if (!this.isSoon) await expectSettled(real, model.sendings);
  };
  toString = () => `redeliver ${this.isSoon ? "soon" : "late"}`;
}

/** To be used where all that can be pushed is known to be due. */
class Settle implements Command {
  check = () => true;
  run = ({ sendings }: Model, real: Real) => expectSettled(real, sendings);
  toString = () => "settle";
}

class SwitchHub implements Command {
  readonly isUp: boolean;
  constructor(isUp: boolean) {
    this.isUp = isUp;
  }
  check = ({ devices }: Readonly<Model>) => devices.isHubUp !== this.isUp;
  run = ({ devices }: Model, real: Real) => {
    devices.isHubUp = this.isUp;
    if (this.isUp) real.first.hub.clearFaults();
    else real.first.hub.fail({ on: "send", times: 1e6, answer: "reset" });
    return Promise.resolve();
  };
  toString = () => `hub ${this.isUp ? "up" : "down"}`;
}

class SwitchDestination implements Command {
  readonly destination: Destination;
  readonly state: State;
  constructor(destination: Destination, state: State) {
    this.destination = destination;
    this.state = state;
  }
  check = ({ devices }: Readonly<Model>) => devices.states[this.destination] !== this.state;
  run = ({ devices }: Model) => {
    devices.states[this.destination] = this.state;
    return Promise.resolve();
  };
  toString = () => `${this.destination} ${this.state}`;
}

/** Removes a device's app, or brings it back. */
class Reinstall implements Command {
  readonly user: User;
  readonly destination: Destination;
  constructor(user: User, destination: Destination) {
    this.user = user;
    this.destination = destination;
  }
  check = () => hasDirect(this.user);
  run = async ({ devices }: Model) => {
    if (devices.isGone(this.user, this.destination)) await devices.move(this.user, this.destination);
    else devices.uninstall(this.user, this.destination);
  };
  toString = () => `${this.destination} device of ${this.user} goes, or comes back`;
}

/** The push service gives a device another address. */
class Move implements Command {
  readonly user: User;
  readonly destination: Destination;
  constructor(user: User, destination: Destination) {
    this.user = user;
    this.destination = destination;
  }
  check = ({ devices }: Readonly<Model>) =>
    hasDirect(this.user) && !devices.isGone(this.user, this.destination);
  run = ({ devices }: Model) => devices.move(this.user, this.destination);
  toString = () => `${this.destination} device of ${this.user} gets another address`;
}

async function redeliver(real: Real, seconds = LONG_SECONDS): Promise<void> {
  real.first.advance(seconds);
  real.devices.beginCall("pass");
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
    fc.boolean().map((isSoon) => new Redeliver(isSoon)),
    fc.boolean().map((isUp) => new SwitchHub(isUp)),
    fc
      .tuple(fc.constantFrom(...DESTINATIONS), fc.constantFrom(...STATES))
      .map(([destination, state]) => new SwitchDestination(destination, state)),
    fc
      .tuple(fc.constantFrom(...USERS), fc.constantFrom(...DESTINATIONS))
      .map(([user, destination]) => new Reinstall(user, destination)),
    fc
      .tuple(fc.constantFrom(...USERS), fc.constantFrom(...DESTINATIONS))
      .map(([user, destination]) => new Move(user, destination)),
  ],
  { maxCommands: 14 },
);

/** Runs the commands, ends every fault, and holds the result against the model. */
async function runModel(cmds: Iterable<Command>): Promise<void> {
  const real = await createReal();
  const { devices } = real;
  const model: Model = { sendings: [], devices };
  await fc.asyncModelRun(() => ({ model, real }), cmds);
  real.first.hub.clearFaults();
  devices.isHubUp = true;
  for (const destination of DESTINATIONS) devices.states[destination] = "up";
  for (let pass = 0; pass < 3; pass++) await redeliver(real);
  // Each try with the key of what was not promised may still promise it.
  for (const sending of model.sendings)
    for (let tries = 0; sending.id === undefined && tries < 3; tries++) {
      note(sending, await trySend(real, sending));
      await redeliver(real);
    }
  for (const sending of model.sendings) {
    expect(sending.id).toBeDefined();
    await Promise.all(sending.to.map((user) => expectFetched(real, sending, user)));
  }
  await expectSettled(real, model.sendings);
  await expectGoneForgotten(model, real);
  devices.expectNothingForeign(model.sendings);
}

async function expectFetched(real: Real, sending: Sending, user: string): Promise<void> {
  const { id = "", erased, mayBeErased, deleted, payload } = sending;
  const got = await fetchFor(real, user, id);
  const isGone = erased.has(user) || deleted.has(user);
  if (!mayBeErased.has(user)) expect(got.status).toBe(isGone ? 404 : 200);
  if (got.status === 200) expect(got.json()["payload"]).toBe(payload);
}

/** Devices that are gone are pushed to once more at most. */
async function expectGoneForgotten(model: Model, real: Real): Promise<void> {
  await new Send(USERS).run(model, real);
  const before = real.devices.direct.pushes.length;
  await new Send(USERS).run(model, real);
  const outcomes = real.devices.direct.pushes.slice(before).map(({ outcome }) => outcome);
  expect(new Set(outcomes)).toEqual(new Set(outcomes.length === 0 ? [] : ["accepted"]));
}

test("P3: a destination that is away, asks to wait, or has lost a device holds up nobody else", () =>
  runModel([
    new SwitchDestination("north", "away"),
    new SwitchDestination("south", "away"),
    new Send(["ann"]),
    new SwitchDestination("north", "throttled"),
    new Send(["ann", "bob", "dee"]), // as many as pause it
    new Move("bob", "south"),
    new SwitchDestination("south", "up"),
    new Redeliver(true), // what has waited for both since they were away is due
    new Settle(),
    new Reinstall("bob", "south"),
    new Reinstall("dee", "south"),
    new Reinstall("dee", "north"),
    new Send(["bob", "dee"]),
    new SwitchHub(false),
    new SwitchDestination("north", "up"),
    new Redeliver(false),
    new Reinstall("dee", "south"),
    new Send(USERS),
  ]));

test(
  "P2, P3, P4: whatever comes in whatever order, what was promised holds",
  () => fc.assert(fc.asyncProperty(commands, runModel), { numRuns: RUNS }),
  60_000 + RUNS * 20_000,
);
