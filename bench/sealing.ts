// Question: what do sealing and opening a payload cost, beside jose's JWE with the same cipher (dir, A256GCM)?
// Variants alternate, each in a fresh process; CPU time of the whole process for each operation.
// Run: npm run bench -- sealing
import { createSecretKey, randomBytes } from "node:crypto";
import { compactDecrypt, CompactEncrypt } from "jose";
import { Secret } from "../shared/base/secret.ts";
import { openPayload, sealPayload } from "../shared/crypto/payload.ts";
import type { RecipientKey } from "../shared/crypto/keyring.ts";
import { createNotificationId } from "../shared/domain/id.ts";
import { runChild } from "./helpers/children.ts";
import { reportAtLeast, toRatios, toSummary } from "./helpers/report.ts";

const ROUNDS = 7;
const LIMIT = 6; // times less CPU
const VARIANTS = ["ours", "jose"] as const;
const OPERATIONS = ["seal", "open"] as const;
const SIZES = [1024, 65_536] as const;
/** Operations in one measurement: enough to pay for the memory that they keep in use. */
const COUNTS = { 1024: 10_000, 65_536: 1_500 } as const;
type Operation = (typeof OPERATIONS)[number];

const variant = VARIANTS.find((one) => one === process.argv[2]);
const operation = OPERATIONS.find((one) => one === process.argv[3]);
const size = SIZES.find((one) => String(one) === process.argv[4]);
if (variant === undefined || operation === undefined || size === undefined) await compare();
else await measure(await { ours, jose }[variant](operation, size), COUNTS[size]);

/** In the child: microseconds of CPU for one operation, after a warm-up of the same length. */
async function measure(work: () => unknown, count: number): Promise<void> {
  const run = async () => {
    const before = process.cpuUsage();
    for (let i = 0; i < count; i++) {
      const result = work();
      if (result instanceof Promise) await result;
    }
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  };
  await run();
  process.send?.(await run());
}

/** As getNotification and sendSecure do it: from JSON text to sealed bytes, and back. */
function ours(name: Operation, bytes: number): Promise<() => unknown> {
  const key = createSecretKey(randomBytes(32));
  const createdAt = new Date();
  const expiresAt = new Date(createdAt.getTime() + 3_600_000);
  const context = {
    recipientKey: randomBytes(32).toString("base64url") as RecipientKey,
    id: createNotificationId(createdAt, expiresAt),
    expiresAt,
  };
  const payload = new Secret("s".repeat(bytes));
  const sealed = sealPayload(key, context, payload);
  return Promise.resolve(
    name === "seal"
      ? () => sealPayload(key, context, payload)
      : () => openPayload(key, { ...context, sealed }),
  );
}

async function jose(name: Operation, bytes: number): Promise<() => unknown> {
  const key = createSecretKey(randomBytes(32));
  const payload = "s".repeat(bytes);
  const encrypt = () =>
    new CompactEncrypt(new TextEncoder().encode(payload))
      .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
      .encrypt(key);
  const sealed = await encrypt();
  return name === "seal"
    ? encrypt
    : async () => new TextDecoder().decode((await compactDecrypt(sealed, key)).plaintext);
}

async function compare(): Promise<void> {
  for (const name of OPERATIONS)
    for (const bytes of SIZES) {
      const results = { ours: [] as number[], jose: [] as number[] };
      for (let round = 0; round < ROUNDS; round++)
        for (const one of round % 2 === 0 ? VARIANTS : VARIANTS.toReversed()) {
          const microseconds = await runChild(import.meta.url, [one, name, String(bytes)]);
          results[one].push(Number(microseconds));
        }
      for (const one of VARIANTS)
        console.log(`${name} ${bytes} bytes, ${one}, µs of CPU: ${toSummary(results[one], 1)}`);
      const values = toRatios(results.jose, results.ours);
      reportAtLeast({ what: `${name}, ${bytes / 1024} KB, jose's CPU to ours`, values, digits: 1 }, LIMIT);
    }
}
