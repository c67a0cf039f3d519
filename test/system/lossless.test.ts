// P3 and P4 in bulk: sends on two instances, while store and hub fail at random and instances die in the middle of
// their calls. Of what was answered with a 2xx nothing is lost; of what was not, nothing was pushed in part. SENDS says
// how many; `npm run soak` makes it 2,000.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Answered, type Api, createApi, createProxiedApi } from "../helpers/api.ts";
import { readId } from "../../local/device.ts";
import { type StoreProxy, storeError } from "../helpers/store.ts";
import { type Fault } from "../helpers/faultProxy.ts";

const SENDS = Number(process.env["SENDS"] ?? 100);
const TIMEOUT_MS = 60_000 + SENDS * 100;
const PARALLEL = 24;
const USERS = Array.from({ length: 12 }, (_, i) => `user-${i}`);

interface Instance {
  readonly api: Api;
  readonly proxy: StoreProxy;
}

let first: Api;
const instances: Instance[] = [];
const started: Instance[] = [];

/** A process of the deployment; once it is dead, nothing of it reaches the store any more. */
async function start(): Promise<Instance> {
  const { proxy, api } = await createProxiedApi({ beside: first });
  const instance = { api, proxy };
  proxy.decide = randomFate;
  started.push(instance);
  return instance;
}

async function replace(index: number): Promise<void> {
  const dead = instances[index];
  if (dead !== undefined) dead.proxy.decide = () => ({ kind: "reset" });
  instances[index] = await start();
}

function randomFate({ path }: { readonly path: string }): Fault | undefined {
  if (path.includes("keys")) return undefined; // a key that cannot be had stops everything: tested elsewhere
  const chance = Math.random();
  if (chance < 0.01) return { kind: "loseAnswer" };
  if (chance < 0.02) return { kind: "reset" };
  if (chance < 0.03) return storeError(503, "ServerBusy");
  if (chance < 0.035) return storeError(403, "No"); // the SDK does not try again
  return undefined;
}

const HUB_FAULTS = [
  { status: 500 },
  { status: 503 },
  { status: 429, headers: { "retry-after": "2" } },
  { status: 401 },
  "reset",
  "resetAfter",
] as const;

beforeAll(async () => {
  first = await createApi("in process");
  for (const user of USERS)
    await first.as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
  await replace(0);
  await replace(1);
});
afterAll(async () => {
  for (const { api } of started) await api.close();
  await first.close();
});

interface Try {
  readonly to: readonly string[];
  readonly payload: string;
  readonly key: string | undefined;
  readonly answer: Answered;
}

const isAccepted = ({ answer }: Try) => answer.status === 201 || answer.status === 202;
const idOf = ({ answer }: Try) => String(answer.json()["id"]);

test(
  `P3, P4: of ${SENDS} sends with random faults and crashes none that was accepted is lost`,
  async () => {
    const tries: Try[] = [];
    const numbers = Array.from({ length: SENDS }, (_, i) => i).values();
    const work = async () => {
      for (const i of numbers) {
        if (i % 125 === 39) await replace(i % 2);
        if (Math.random() < 0.08)
          first.hub.fail({ on: "send", answer: HUB_FAULTS[i % HUB_FAULTS.length] ?? "reset" });
        const to = i % 10 === 0 ? USERS.slice(0, 5) : [USERS[i % USERS.length] ?? ""];
        const key = i % 2 === 0 ? `key-${i}` : undefined;
        const payload = `payload-${i}`;
        const headers = key === undefined ? {} : { "idempotency-key": key };
        const { api } = instances[i % 2] ?? { api: first };
        const answer = await api.send({ to, payload }, headers);
        tries.push({ to, payload, key, answer });
        // A sender who holds a key tries again, at the other instance.
        const other = instances[(i + 1) % 2]?.api ?? first;
        if (key !== undefined && answer.status !== 201)
          tries.push({ to, payload, key, answer: await other.send({ to, payload }, headers) });
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));

    for (const { answer } of tries) expect([201, 202, 409, 503], answer.text).toContain(answer.status);
    first.hub.clearFaults();
    for (let pass = 0; pass < 6; pass++) {
      first.advance(300);
      await first.runTimer("redeliverPushes");
    }

    const told = new Map<string, Set<string>>();
    for (const delivery of first.hub.deliveries) {
      const id = readId(delivery);
      told.set(id, (told.get(id) ?? new Set<string>()).add(delivery.pushChannel));
    }
    const lost: string[] = [];
    const accepted = tries.filter(isAccepted);
    for (const one of accepted)
      for (const user of one.to)
        if (told.get(idOf(one))?.has(user) !== true) lost.push(`${idOf(one)} to ${user}`);
    expect(lost).toEqual([]);
    expect(accepted.length).toBeGreaterThan(SENDS * 0.5);

    // P4: one id for each key.
    const byKey = Map.groupBy(
      accepted.filter(({ key }) => key !== undefined),
      ({ key }) => key,
    );
    for (const [key, same] of byKey) expect(new Set(same.map(idOf)).size, key).toBe(1);
    // Whatever was pushed can be fetched by everybody who was told: nothing was pushed in part, nor taken back afterwards.
    const known = new Map(accepted.map((one) => [idOf(one), one]));
    const unfetched: string[] = [];
    const ids = [...told].values();
    const fetchAll = async () => {
      for (const [id, users] of ids)
        for (const user of users) {
          const got = await first.as(user, "GET", `/api/notifications/${id}`);
          const payload = known.get(id)?.payload;
          if (got.status !== 200 || (payload !== undefined && got.json()["payload"] !== payload))
            unfetched.push(`${id} by ${user}`);
        }
    };
    await Promise.all(Array.from({ length: PARALLEL }, fetchAll));
    expect(unfetched).toEqual([]);
    // What nobody was promised was pushed to all of its recipients, or to none.
    for (const [id, users] of told) if (!known.has(id)) expect([1, 5], id).toContain(users.size);
    const receipts = await first.post("/api/receipts", { id: [...known.keys()][0], to: USERS });
    expect(receipts.status).toBe(200);
  },
  TIMEOUT_MS,
);
