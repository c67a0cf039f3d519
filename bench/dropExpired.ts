// Question: what does dropExpired cost for a day of 100 rows and for one of 20,000, beside a purge that deletes row by row?
// Variants alternate, each pass in a fresh process over its own tables, against one Azurite.
// Run: npm run bench -- dropExpired
import { randomBytes } from "node:crypto";
import { TableClient } from "@azure/data-tables";
import { createAzurite } from "../local/azurite.ts";
import { createClock } from "../shared/base/clock.ts";
import { mapBounded } from "../shared/base/deadline.ts";
import { createLocalKeyWrapper } from "../shared/crypto/kek.ts";
import { createKeyring } from "../shared/crypto/keyring.ts";
import { DAY_MS, toDay, toDayName } from "../shared/domain/id.ts";
import { createLog } from "../shared/base/log.ts";
import { createDropExpired } from "../shared/retention/retention.ts";
import { Secret } from "../shared/base/secret.ts";
import { createTables } from "../shared/store/table.ts";
import { createTableStore } from "../shared/store/tableStore.ts";
import { runChild } from "./helpers/children.ts";
import { reportAtMost, toRatios, toSummary } from "./helpers/report.ts";

const ROUNDS = 5;
const FEW = 100;
const MANY = 20_000;
const VARIANTS = [
  { name: "dropExpired", rows: FEW },
  { name: "dropExpired", rows: MANY },
  { name: "row by row", rows: FEW },
  { name: "row by row", rows: MANY },
] as const;
type Variant = (typeof VARIANTS)[number];
const PARALLEL_DELETES = 16;
const BATCH_ROWS = 100; // what one transaction of a table takes

const [connectionString, tablePrefix, variant] = process.argv.slice(2);
if (connectionString === undefined || tablePrefix === undefined) await compare();
else {
  const work = variant === "row by row" ? purge : pass;
  process.send?.(await work(connectionString, tablePrefix), () => process.exit());
}

/** In the child: the milliseconds of one pass. */
async function pass(storage: string, prefix: string): Promise<number> {
  const log = createLog(() => undefined);
  const clock = createClock(log);
  const store = createTableStore(
    createTables({
      storage: { tablePrefix: prefix, connectionString: new Secret(storage) },
      clock,
      allowLoopback: true,
    }),
  );
  const wrapper = createLocalKeyWrapper([new Secret<Uint8Array>(Buffer.alloc(32, 1))]);
  const dropExpired = createDropExpired({
    store,
    keyring: createKeyring({ rows: store, wrapper, clock }),
    clock,
  });
  const signal = new AbortController().signal;
  const startedMs = performance.now();
  await dropExpired({ log, signal });
  return performance.now() - startedMs;
}

/** In the child: the milliseconds of finding a day's rows and deleting each, several at a time. */
async function purge(storage: string, prefix: string): Promise<number> {
  const client = toClient(storage, prefix);
  const startedMs = performance.now();
  const pages = client
    .listEntities({ queryOptions: { select: ["PartitionKey", "RowKey"] } })
    .byPage({ maxPageSize: 1000 });
  for await (const rows of pages)
    await mapBounded(rows, PARALLEL_DELETES, ({ partitionKey = "", rowKey = "" }) =>
      client.deleteEntity(partitionKey, rowKey),
    );
  return performance.now() - startedMs;
}

function toClient(storage: string, prefix: string): TableClient {
  const table = `${prefix}notifications${toDayName(toDay(new Date(Date.now() - DAY_MS)))}`;
  return TableClient.fromConnectionString(storage, table, { allowInsecureConnection: true });
}

async function compare(): Promise<void> {
  const azurite = await createAzurite();
  try {
    const results = new Map<Variant, number[]>(VARIANTS.map((one) => [one, []]));
    for (let round = 0; round < ROUNDS; round++)
      for (const one of round % 2 === 0 ? VARIANTS : VARIANTS.toReversed()) {
        const prefix = `b${randomBytes(8).toString("hex")}`;
        await prepare(azurite.connectionString, prefix, one.rows);
        const elapsedMs = await runChild(import.meta.url, [azurite.connectionString, prefix, one.name]);
        results.get(one)?.push(Number(elapsedMs));
      }
    print(results);
  } finally {
    await azurite.close();
  }
}

function print(results: ReadonlyMap<Variant, readonly number[]>): void {
  for (const [{ name, rows }, values] of results)
    console.log(`${name}, ${rows} rows, ms: ${toSummary(values, 1)}`);
  const [few = [], many = [], rowsFew = [], rowsMany = []] = [...results.values()];
  console.log(`row by row, ${MANY} rows to ${FEW}: ${toSummary(toRatios(rowsMany, rowsFew), 1)}`);
  console.log(`${MANY} rows, row by row to dropExpired: ${toSummary(toRatios(rowsMany, many), 0)}`);
  reportAtMost({ what: "dropExpired, 20,000 rows to 100, time", values: toRatios(many, few) }, 1.2);
}

/** Leaves a pass nothing to do but to drop one day that is over. */
async function prepare(storage: string, prefix: string, rows: number): Promise<void> {
  await pass(storage, prefix);
  const client = toClient(storage, prefix);
  await client.createTable();
  for (let start = 0; start < rows; start += BATCH_ROWS)
    await client.submitTransaction(
      Array.from({ length: BATCH_ROWS }, (_, i) => [
        "create",
        { partitionKey: "p", rowKey: String(start + i), sealed0: randomBytes(200) },
      ]),
    );
}
