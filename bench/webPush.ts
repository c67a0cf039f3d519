// Question: what does one Web Push message cost, beside the package web-push, and beside the two operations on the curve
// that no implementation can do without (one key generation, one derivation)?
// The variants alternate in slices within one process, a fresh one for each round; CPU time of the whole process for each
// message, without the network. Run: npm run bench -- webPush
import { createECDH, randomBytes } from "node:crypto";
import webPush from "web-push";
import { createVapidKey } from "../scripts/vapidKey.ts";
import { createClock } from "../shared/base/clock.ts";
import { createLog } from "../shared/base/log.ts";
import { createVapidTokens, parseVapidKeys } from "../shared/crypto/vapid.ts";
import { createNotificationId } from "../shared/domain/id.ts";
import type { Subscription } from "../shared/domain/installation.ts";
import type { PushMessage } from "../shared/push/sender.ts";
import { buildWebPushRequest } from "../shared/push/webPushRequest.ts";
import { runChild } from "./helpers/children.ts";
import { reportAtMost, toMedian, toSummary } from "./helpers/report.ts";

const ROUNDS = 7;
const SUBSCRIPTIONS = 1000;
/** In each round every variant makes this many slices. The first ones warm up and are not counted. */
const SLICES = 30;
const WARM_UP_SLICES = 8;
const SLICE_MESSAGES = 100;
const SUBJECT = "mailto:push@example.com";
const VARIANTS = ["ours", "web-push", "floor"] as const;
type Variant = (typeof VARIANTS)[number];
/** Microseconds of CPU for one message. */
type Costs = Readonly<Record<Variant, number>>;

if (process.argv[2] === "round") process.send?.(await measure());
else await compare();

async function measure(): Promise<Costs> {
  const subscriptions = Array.from({ length: SUBSCRIPTIONS }, (_, i): Subscription => {
    const endpoint = `https://push${i % 3}.example.net/send/${randomBytes(60).toString("base64url")}`;
    const p256dh = createECDH("prime256v1").generateKeys("base64url");
    return { endpoint, p256dh, authSecret: randomBytes(16).toString("base64url") };
  });
  const pushes = { ours: ours(), "web-push": theirs(), floor: floor() };
  const costs: Record<Variant, number[]> = { ours: [], "web-push": [], floor: [] };
  for (let slice = 0; slice < SLICES; slice++)
    for (const name of slice % 2 === 0 ? VARIANTS : VARIANTS.toReversed()) {
      const start = (slice * SLICE_MESSAGES) % SUBSCRIPTIONS;
      const before = process.cpuUsage();
      for (const subscription of subscriptions.slice(start, start + SLICE_MESSAGES))
        await pushes[name](subscription);
      const { user, system } = process.cpuUsage(before);
      if (slice >= WARM_UP_SLICES) costs[name].push((user + system) / SLICE_MESSAGES);
    }
  return {
    ours: toMedian(costs.ours),
    "web-push": toMedian(costs["web-push"]),
    floor: toMedian(costs.floor),
  };
}

function ours(): (subscription: Subscription) => Promise<unknown> {
  const keys = parseVapidKeys(JSON.stringify({ keys: [createVapidKey().jwk] }));
  const [key] = keys.ok ? keys.value : [];
  if (key === undefined) throw new Error("no key");
  const toAuthorization = createVapidTokens({
    subject: SUBJECT,
    clock: createClock(createLog(() => undefined)),
  });
  const expiresAt = new Date(Date.now() + 3_600_000);
  const notificationId = createNotificationId(new Date(), expiresAt);
  const message: PushMessage = { notificationId, expiresAt, urgency: "normal", display: "alert" };
  return (subscription) =>
    buildWebPushRequest({ subscription, message, ttlSeconds: 3600, key, toAuthorization });
}

function theirs(): (subscription: Subscription) => unknown {
  const vapidDetails = { subject: SUBJECT, ...webPush.generateVAPIDKeys() };
  const text = JSON.stringify({ secureId: "0".repeat(32) });
  return ({ endpoint, p256dh, authSecret }) =>
    webPush.generateRequestDetails({ endpoint, keys: { p256dh, auth: authSecret } }, text, {
      vapidDetails,
      TTL: 3600,
    });
}

function floor(): (subscription: Subscription) => unknown {
  const ecdh = createECDH("prime256v1");
  return ({ p256dh }) => {
    ecdh.generateKeys();
    return ecdh.computeSecret(Buffer.from(p256dh, "base64url"));
  };
}

async function compare(): Promise<void> {
  const rounds: Costs[] = [];
  for (let round = 0; round < ROUNDS; round++)
    rounds.push((await runChild(import.meta.url, ["round"])) as Costs); // what measure() made
  for (const name of VARIANTS)
    console.log(
      `${name}, µs of CPU: ${toSummary(
        rounds.map((costs) => costs[name]),
        1,
      )}`,
    );
  for (const [name, label, limit] of [
    ["web-push", "the package web-push", 0.4],
    ["floor", "one key generation and one derivation", 1.5],
  ] as const) {
    const values = rounds.map((costs) => costs.ours / costs[name]);
    reportAtMost({ what: `a Web Push message, CPU to ${label}`, values }, limit);
  }
}
