// Each fault at each step of sendSecure: what the call answers, and what becomes of the notification once the fault is
// over and redelivery has run. docs/reliability.md shows what is seen here.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mapBounded } from "../../shared/base/deadline.ts";
import { type Answered, type Api, createApi } from "../helpers/api.ts";
import { createFaultProxy, type Fault, type FaultProxy } from "../helpers/faultProxy.ts";
import { findRow, SEND_STEPS, type SendStep } from "../helpers/sendSteps.ts";
import { createStoreProxy, createTestStore, storeError } from "../helpers/store.ts";

interface FaultKind {
  readonly name: string;
  readonly fault: Fault;
  /** Default: the first request of the step alone; then the SDK's own retries, where it has any, go through. */
  readonly isLasting?: boolean;
}

const FAULTS: readonly FaultKind[] = [
  { name: "connection reset", fault: { kind: "reset" } },
  { name: "reset for good", fault: { kind: "reset" }, isLasting: true },
  { name: "answer lost", fault: { kind: "loseAnswer" } },
  { name: "answers lost for good", fault: { kind: "loseAnswer" }, isLasting: true },
  { name: "refused (403)", fault: storeError(403, "AuthorizationFailure"), isLasting: true },
  { name: "busy (503) for good", fault: storeError(503, "ServerBusy"), isLasting: true },
  { name: "no answer", fault: { kind: "hang" }, isLasting: true },
  { name: "byte by byte", fault: { kind: "drip", delayMs: 1 } },
];

const doc = readFileSync(new URL("../../docs/reliability.md", import.meta.url), "utf8");
const seen = new Map<string, readonly string[]>();
let first: Api;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  first = await createApi("in process");
  await first.send({ to: ["warm"], payload: 1 }, { "idempotency-key": "warm" }); // makes tables and keys
  const cases = SEND_STEPS.flatMap((step) => FAULTS.map((kind) => ({ step, kind, user: `user-${names++}` })));
  // Those that wait for an answer that never comes cost nothing, and all wait at once; the others come one by one, so
  // that none is late for its deadline because of them.
  const waiting = Promise.all(cases.filter(isWaiting).map(sendWithFault));
  const others = await mapBounded(
    cases.filter((one) => !isWaiting(one)),
    3,
    sendWithFault,
  );
  const sent = [...(await waiting), ...others];
  // All is well again, and every lease is over.
  for (let pass = 0; pass < 2; pass++) {
    first.advance(31);
    await first.runTimer("redeliverPushes");
  }
  await expectNothingElse();
  const outcomes = new Map(await mapBounded(sent, 4, async (one) => [one.user, await judge(one)] as const));
  for (const step of SEND_STEPS)
    seen.set(
      step.name,
      cases.filter((one) => one.step === step).map(({ user }) => outcomes.get(user) ?? ""),
    );
}, 120_000);
afterAll(async () => {
  for (const close of closing.toReversed()) await close();
  await first.close();
});

const ID = /[0-9A-HJKMNP-TV-Z]{32}/;
let names = 0;

interface Case {
  readonly step: SendStep;
  readonly kind: FaultKind;
  readonly user: string;
}

const isWaiting = ({ step, kind }: Case) => kind.fault.kind === "hang" && step.to === "store";

interface Sent extends Case {
  readonly answer: Answered;
  readonly to: readonly string[];
}

/** Sends at an instance of its own, whose step fails. */
async function sendWithFault({ step, kind, user }: Case): Promise<Sent> {
  const device = { platform: "fcmv1", pushChannel: user };
  const registered = await first.as(user, "PUT", "/api/installations/phone", device);
  expect(registered.status, registered.text).toBe(201);
  const storeProxy = await createStoreProxy();
  const hubProxy = await createFaultProxy(Number(new URL(first.hub.url).port));
  const api = await createApi("in process", {
    beside: first,
    storageConnectionString: storeProxy.connectionString,
    settings: { NOTIFICATION_HUB_CONNECTION_STRING: first.hub.connectionStringVia(hubProxy.port) },
  });
  closing.push(storeProxy.close, hubProxy.close, api.close);
  let isMet = false;
  const proxy: FaultProxy = step.to === "hub" ? hubProxy : storeProxy;
  proxy.decide = (request) => {
    if (!step.isIt(request) || (isMet && kind.isLasting !== true)) return undefined;
    isMet = true;
    return kind.fault;
  };
  const to = [user, `${user}-without`];
  const answer = await api.send({ to, payload: user }, { "idempotency-key": user });
  expect(isMet, step.name).toBe(true);
  expect([201, 202, 503], answer.text).toContain(answer.status);
  if (answer.status === 503) expect(answer.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
  return { step, kind, user, answer, to };
}

/** Every payload that can be fetched was pushed, and to be fetched by both of its recipients. */
async function expectNothingElse(): Promise<void> {
  const { listTables, rawTable } = createTestStore({ prefix: first.tablePrefix });
  const stands = new Map<string, number>();
  for (const table of (await listTables()).filter((name) => name.startsWith("notifications")))
    for await (const { rowKey = "", gone } of rawTable(table).listEntities<{ readonly gone?: string }>())
      if (gone === undefined) stands.set(rowKey, (stands.get(rowKey) ?? 0) + 1);
  const pushed = new Set(first.hub.deliveries.map(({ body }) => ID.exec(body)?.[0] ?? ""));
  const isWarm = (rows: number) => rows === 1;
  for (const [id, rows] of stands) if (!isWarm(rows)) expect([rows, pushed.has(id)], id).toEqual([2, true]);
  expect([...stands.values()].filter(isWarm)).toHaveLength(1);
}

/** What became of it. What was promised is pushed and there; what was not is so for all, or for nobody (P3). */
async function judge({ step, kind, user, answer, to }: Sent): Promise<string> {
  const story = `${step.name}: ${kind.name}: ${answer.text}`;
  const ids = told(user);
  const isThere = ids.length > 0;
  if (answer.status !== 503) expect(ids[0], story).toBe(answer.json()["id"]);
  expect(new Set(ids).size, story).toBeLessThanOrEqual(1);
  for (const name of isThere ? to : []) {
    const got = await first.as(name, "GET", `/api/notifications/${ids[0] ?? ""}`);
    expect([got.status, got.json()["payload"]], story).toEqual([200, user]);
  }
  // A try with the same key makes it one notification, in any case (P4).
  const again = await first.send({ to, payload: user }, { "idempotency-key": user });
  expect([201, 202], `${story} ${again.text}`).toContain(again.status);
  if (isThere) expect(again.json()["id"], story).toBe(ids[0]);
  if (!isThere) return `${answer.status}, nothing left`;
  const outcome = ids.length > 1 ? "pushed twice" : "pushed";
  return answer.status === 201 && ids.length === 1 ? "201" : `${answer.status}, ${outcome}`;
}

/** The IDs that a user's device was told. */
const told = (user: string) =>
  first.hub.deliveries
    .filter(({ pushChannel }) => pushChannel === user)
    .map(({ body }) => ID.exec(body)?.[0] ?? "");

/** A machine that is too busy makes a 201 a 202, and may push once more; never less than is said. */
function isAsSaid(cell: string, said: string): boolean {
  return cell === said || (/^20[12]/.test(said) && cell.startsWith("202, pushed"));
}

test.each(SEND_STEPS)(
  "P3, R93, R95, R96: a fault while $name comes to what docs/reliability.md says",
  ({ name }) => {
    const said = findRow(doc, name) ?? [];
    const cells = seen.get(name) ?? [];
    expect(cells.map((cell, i) => (isAsSaid(cell, said[i] ?? "") ? said[i] : cell))).toEqual(said);
  },
);

test("docs/reliability.md has a column for each fault", () => {
  expect(findRow(doc, "while")).toEqual(FAULTS.map((fault) => fault.name));
});
