// Question: what does dropExpired cost for a day of 100 rows and for one of 20,000?
// Variants alternate, each pass in a fresh process over its own tables, against one Azurite. Run: npm run bench
import { randomBytes } from "node:crypto";
import { TableClient } from "@azure/data-tables";
import { createAzurite } from "../local/azurite.ts";
import { createClock } from "../shared/base/clock.ts";
import { createLocalKeyWrapper } from "../shared/crypto/kek.ts";
import { createKeyring } from "../shared/crypto/keyring.ts";
import { DAY_MS, toDay, toDayName } from "../shared/domain/id.ts";
import { createLog } from "../shared/base/log.ts";
import { createDropExpired } from "../shared/retention/retention.ts";
import { Secret } from "../shared/base/secret.ts";
import { createTables } from "../shared/store/table.ts";
import { createTableStore } from "../shared/store/tableStore.ts";
import { runChild } from "./children.ts";
import { toSummary } from "./report.ts";

const ROUNDS = 5;
const VARIANTS = [100, 20_000] as const;
const BATCH_ROWS = 100; // what one transaction of a table takes

const [connectionString, tablePrefix] = process.argv.slice(2);
if (connectionString !== undefined && tablePrefix !== undefined) await measure(connectionString, tablePrefix);
else await compare();

/** In the child: one pass, timed, with the processor's time that it took here. */
async function measure(storage: string, prefix: string): Promise<void> {
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
  const pass = createDropExpired({ store, keyring: createKeyring({ rows: store, wrapper, clock }), clock });
  const signal = new AbortController().signal;
  const startedMs = performance.now();
  await pass({ log, signal });
  process.send?.(performance.now() - startedMs);
}

async function compare(): Promise<void> {
  const azurite = await createAzurite();
  try {
    const results = new Map<number, number[]>(VARIANTS.map((rows) => [rows, []]));
    for (let round = 0; round < ROUNDS; round++)
      for (const rows of round % 2 === 0 ? VARIANTS : VARIANTS.toReversed()) {
        const prefix = `b${randomBytes(8).toString("hex")}`;
        await prepare(azurite.connectionString, prefix, rows);
        const elapsedMs = await runChild(import.meta.url, [azurite.connectionString, prefix]);
        results.get(rows)?.push(Number(elapsedMs));
      }
    for (const [rows, values] of results) console.log(`${rows} rows, ms: ${toSummary(values, 1)}`);
    const [few = [], many = []] = [...results.values()];
    console.log(
      `ratio: ${toSummary(
        many.map((value, i) => value / (few[i] ?? NaN)),
        2,
      )}`,
    );
  } finally {
    await azurite.close();
  }
}

/** Everything that a pass would have to do is done, but for one day that is over. */
async function prepare(storage: string, prefix: string, rows: number): Promise<void> {
  await measure(storage, prefix);
  const table = `${prefix}notifications${toDayName(toDay(new Date(Date.now() - DAY_MS)))}`;
  const client = TableClient.fromConnectionString(storage, table, { allowInsecureConnection: true });
  await client.createTable();
  for (let start = 0; start < rows; start += BATCH_ROWS)
    await client.submitTransaction(
      Array.from({ length: BATCH_ROWS }, (_, i) => [
        "create",
        { partitionKey: "p", rowKey: String(start + i), sealed0: randomBytes(200) },
      ]),
    );
}
