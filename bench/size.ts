// Question: what do sendSecure and getNotification cost as the stored rows and the recipients of one call grow?
// In process, without a Functions host, one call at a time, against Azurite and a hub that answers 201; and once more with
// both of them some milliseconds away. Azurite uses one core, so parallel calls wait for each other. With the added delay, that
// wait is a smaller part of the time. Each size has its own tables, made once; each round measures them in
// fresh processes in alternating order. Writes graphs into docs/graphs/. Run: npm run bench -- size
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TableClient } from "@azure/data-tables";
import { createAzurite } from "../local/azurite.ts";
import { createIssuer, type Issuer } from "../local/issuer.ts";
import { root } from "../scripts/root.ts";
import { NotificationId, toDayName, toExpiryDay } from "../shared/domain/id.ts";
import { runChild } from "./helpers/children.ts";
import { createProduct, type Product, toId, toRegistration, toRequest } from "./helpers/product.ts";
import { printTable, reportAtMost, toCell, toMedian, toRatios } from "./helpers/report.ts";
import { startHub, startSlowStore } from "./helpers/servers.ts";
import { toLineChart } from "./helpers/svg.ts";

const ROUNDS = 5;
const SIZES = [0, 10_000, 100_000] as const;
const RECIPIENTS = [1, 10, 100] as const;
const USERS = 100;
/** Sends in one round, by number of recipients: a short call needs more of them for a steady median. */
const SENDS = { 1: 40, 10: 20, 100: 6 } as const;
/** Milliseconds on top of each call's own time. */
const DISTANCE_MS = 10;
const BATCH_ROWS = 100;
const PLACES = ["near", "far"] as const;
type Place = (typeof PLACES)[number];

/** What one send, or one get, took. */
interface Cost {
  readonly sendMs: number;
  readonly sendCalls: number;
  readonly getMs: number;
  readonly getCalls: number;
}
/** By number of recipients. */
type Costs = Readonly<Record<string, Cost>>;

/** Where the measured app finds its tables, and its key. */
interface Setup {
  readonly storage: string;
  readonly hub: string;
  readonly prefix: string;
  readonly kek: string;
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === undefined) await compare();
else {
  const [storage = "", hub = "", prefix = "", kek = "", size = ""] = rest;
  const issuer = await createIssuer();
  const world = { product: createWorld({ storage, hub, prefix, kek }, issuer), issuer };
  if (mode === "prepare") await prepare(world, { storage, prefix, size: Number(size) });
  process.send?.(mode === "prepare" ? "done" : await measure(world), () => process.exit());
}

interface World {
  readonly product: Product;
  readonly issuer: Issuer;
}

function createWorld({ storage, hub, prefix, kek }: Setup, issuer: Issuer): Product {
  return createProduct({
    storageConnectionString: storage,
    hubConnectionString: hub,
    issuer,
    settings: { TABLE_PREFIX: prefix, PAYLOAD_LOCAL_KEK: kek },
  });
}

/** In a child: registers the users, and stores other users' rows beside theirs. */
async function prepare(
  { product, issuer }: World,
  { storage, prefix, size }: { readonly storage: string; readonly prefix: string; readonly size: number },
): Promise<void> {
  for (let i = 0; i < USERS; i++) {
    const user = `user-${i}`;
    await product.call("registerInstallation", toRegistration(user, await issuer.buildUserToken(user)));
  }
  const id = NotificationId.parse(toId(await product.call("sendSecure", toSend(1))));
  const table = TableClient.fromConnectionString(
    storage,
    `${prefix}notifications${toDayName(toExpiryDay(id))}`,
    { allowInsecureConnection: true },
  );
  for (let start = 0; start < size; start += BATCH_ROWS) {
    const partitionKey = randomBytes(32).toString("base64url");
    await table.submitTransaction(
      Array.from({ length: BATCH_ROWS }, (_, i) => [
        "create",
        { partitionKey, rowKey: String(i), sealed0: randomBytes(1024) },
      ]),
    );
  }
}

function toSend(recipients: number) {
  const to = Array.from({ length: recipients }, (_, i) => `user-${i}`);
  return toRequest("POST", "/notifications", {
    headers: { "x-functions-key": "k" },
    body: { to, payload: "s".repeat(1024) },
  });
}

/** In a child: the medians of the sends, and of each recipient's get, with everything loaded before. */
async function measure({ product, issuer }: World): Promise<Costs> {
  product.advance(300); // so that devices are reached by their tags
  const tokens = await Promise.all(
    Array.from({ length: USERS }, (_, i) => issuer.buildUserToken(`user-${i}`)),
  );
  const get = (i: number, id: string) =>
    toRequest("GET", `/notifications/${id}`, {
      params: { id },
      headers: { authorization: `Bearer ${tokens[i]}` },
    });
  const costs: Record<string, Cost> = {};
  for (const recipients of [...RECIPIENTS, ...RECIPIENTS]) {
    const sends: Timed[] = [];
    const gets: Timed[] = [];
    for (let i = 0; i < SENDS[recipients]; i++) {
      const sent = await time(product, () => product.call("sendSecure", toSend(recipients)));
      sends.push(sent);
      const user = i % recipients;
      const id = toId(sent.answer);
      gets.push(await time(product, () => product.call("getNotification", get(user, id))));
    }
    costs[String(recipients)] = {
      sendMs: toMedian(sends.map(({ ms }) => ms)),
      sendCalls: toMedian(sends.map(({ calls }) => calls)),
      getMs: toMedian(gets.map(({ ms }) => ms)),
      getCalls: toMedian(gets.map(({ calls }) => calls)),
    };
  }
  return costs; // of the second time: the first one warmed up
}

type Answer = Awaited<ReturnType<Product["call"]>>;

interface Timed {
  readonly answer: Answer;
  readonly ms: number;
  readonly calls: number;
}

async function time({ counts }: Product, work: () => Promise<Answer>): Promise<Timed> {
  const before = counts.calls;
  const startedMs = performance.now();
  const answer = await work();
  return { answer, ms: performance.now() - startedMs, calls: counts.calls - before };
}

async function compare(): Promise<void> {
  const azurite = await createAzurite();
  const far = await startSlowStore(azurite.connectionString, DISTANCE_MS);
  const hubs = { near: await startHub(), far: await startHub(DISTANCE_MS) };
  const storages = { near: azurite.connectionString, far: far.connectionString };
  try {
    const tables = new Map<number, readonly [prefix: string, kek: string]>();
    for (const size of SIZES) {
      const own = [`b${randomBytes(8).toString("hex")}`, randomBytes(32).toString("base64")] as const;
      tables.set(size, own);
      const { near } = storages;
      await runChild(import.meta.url, ["prepare", near, hubs.near.connectionString, ...own, String(size)]);
    }
    const results = new Map<string, Costs[]>();
    for (let round = 0; round < ROUNDS; round++)
      for (const place of PLACES)
        for (const size of round % 2 === 0 ? SIZES : SIZES.toReversed()) {
          const args = [storages[place], hubs[place].connectionString, ...(tables.get(size) ?? [])];
          const costs = (await runChild(import.meta.url, ["measure", ...args])) as Costs; // what measure() made
          results.set(`${place} ${size}`, [...(results.get(`${place} ${size}`) ?? []), costs]);
        }
    const of: Of = (place, size, recipients, member) =>
      (results.get(`${place} ${size}`) ?? []).map((costs) => costs[String(recipients)]?.[member] ?? NaN);
    print(of);
    await draw((...key) => toMedian(of(...key)));
  } finally {
    hubs.near.close();
    hubs.far.close();
    far.close();
    await azurite.close();
  }
}

type Of = (place: Place, size: number, recipients: number, member: keyof Cost) => readonly number[];

function print(of: Of): void {
  printTable(
    [
      "stored rows, recipients",
      "send, ms",
      `send, ${DISTANCE_MS} ms away`,
      "table calls",
      "get, ms",
      `get, ${DISTANCE_MS} ms away`,
      "table calls ",
    ],
    SIZES.flatMap((size) =>
      RECIPIENTS.map((recipients) => [
        `${size.toLocaleString("en-US")}, ${recipients}`,
        toCell(of("near", size, recipients, "sendMs"), 1),
        toCell(of("far", size, recipients, "sendMs"), 0),
        toMedian(of("near", size, recipients, "sendCalls")).toFixed(0),
        toCell(of("near", size, recipients, "getMs"), 1),
        toCell(of("far", size, recipients, "getMs"), 0),
        toMedian(of("near", size, recipients, "getCalls")).toFixed(0),
      ]),
    ),
  );
  console.log("");
  const [none] = SIZES;
  const most = SIZES.at(-1) ?? 0;
  for (const member of ["sendMs", "getMs"] as const)
    reportAtMost(
      {
        what: `${member === "sendMs" ? "send" : "get"}, time with 100,000 rows stored to that with none`,
        values: toRatios(of("near", most, 1, member), of("near", none, 1, member)),
      },
      1.2,
    );
  const fanOut = (place: Place) => toRatios(of(place, none, 100, "sendMs"), of(place, none, 1, "sendMs"));
  console.log(`send to 100, time to that of one, at Azurite's pace: ${toMedian(fanOut("near")).toFixed(1)}`);
  reportAtMost(
    {
      what: `send to 100, time to that of one, table and hub ${DISTANCE_MS} ms away`,
      values: fanOut("far"),
      digits: 1,
    },
    10,
  );
}

async function draw(of: (...key: Parameters<Of>) => number): Promise<void> {
  const folder = join(root, "docs/graphs");
  await mkdir(folder, { recursive: true });
  const bySize = (title: string, place: Place, member: "sendMs" | "getMs") =>
    toLineChart({
      title,
      xLabel: "stored notifications, rows",
      yLabel: "time of a call, ms (median)",
      categories: SIZES.map((size) => size.toLocaleString("en-US")),
      series: RECIPIENTS.map((recipients) => ({
        name: `${recipients} recipient${recipients === 1 ? "" : "s"}`,
        values: SIZES.map((size) => of(place, size, recipients, member)),
      })),
    });
  const distance = `table and hub ${DISTANCE_MS} ms away`;
  await writeFile(
    join(folder, "send-by-rows.svg"),
    bySize(`sendSecure as rows grow, ${distance}`, "far", "sendMs"),
  );
  await writeFile(
    join(folder, "get-by-rows.svg"),
    bySize("getNotification (first) as rows grow, Azurite", "near", "getMs"),
  );
  await writeFile(
    join(folder, "calls-by-recipients.svg"),
    toLineChart({
      title: "Table calls as recipients grow",
      xLabel: "recipients of one call",
      yLabel: "table calls",
      categories: RECIPIENTS.map(String),
      series: [
        { name: "sendSecure", values: RECIPIENTS.map((one) => of("near", 0, one, "sendCalls")) },
        { name: "one get (first)", values: RECIPIENTS.map((one) => of("near", 0, one, "getCalls")) },
      ],
    }),
  );
}
