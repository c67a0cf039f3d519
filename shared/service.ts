// The use cases. It sees only the seams: storage, keys, the hub, the clock.
import type { Prompt } from "./config.ts";
import type { PurposeKeys, RecipientKey } from "./crypto/keyring.ts";
import { both, mapBounded, withGrace } from "./deadline.ts";
import { type PushResult, pushAll, toPushes } from "./fanOut.ts";
import { createNotificationId, type NotificationId, toExpiryDay } from "./id.ts";
import { createInbox, type Inbox } from "./inbox.ts";
import { createInstallations, type Installations, type InstallationsOptions } from "./installations.ts";
import { type Log, toCause } from "./log.ts";
import { MAX_WRITTEN_BYTES, type PushStatus, type SendRequest, toPushStatus } from "./notification.ts";
import { sealPayload } from "./payload.ts";
import type { Failure } from "./problem.ts";
import { reportOutcome, toFailure } from "./push/outcome.ts";
import type { PushMessage } from "./push/sender.ts";
import { err, ok, type Result } from "./result.ts";
import type { Secret } from "./secret.ts";

interface Sent {
  readonly id: NotificationId;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly push: PushStatus;
}

export interface Service extends Inbox, Pick<Installations, "register" | "remove"> {
  /**
   * Stores the payload for every recipient and pushes its ID. `payload` is JSON text.
   * A failure means that nothing is promised; what was written is taken back.
   */
  readonly send: (
    request: SendRequest,
    payload: Secret<string>,
    log: Log,
    signal: AbortSignal,
  ) => Promise<Result<Sent, Failure>>;
  /** Whether the service can do its work now. The answer is up to ten seconds old. */
  readonly isHealthy: (log: Log, signal: AbortSignal) => Promise<boolean>;
}

export interface ServiceOptions extends InstallationsOptions {
  readonly prompt: Prompt;
}

const MAX_PARALLEL_WRITES = 16;
const TAKE_BACK_GRACE_MS = 1_000;
const HEALTH_KEPT_MS = 10_000;

export function createService(options: ServiceOptions): Service {
  const { store, keyring, hub, clock, limits, prompt } = options;
  const installations = createInstallations(options);
  let health: { readonly atMs: number; readonly isHealthy: Promise<boolean> } | undefined;

  async function writeRows(
    request: SendRequest,
    payload: Secret<string>,
    recipients: readonly RecipientKey[],
    { id, createdAt, expiresAt }: Omit<Sent, "push">,
    signal: AbortSignal,
  ): Promise<void> {
    const dayKey = await keyring.makeDayKey(toExpiryDay(id), signal);
    await mapBounded(recipients, MAX_PARALLEL_WRITES, (recipientKey) =>
      store.insertNotification(
        {
          recipientKey,
          id,
          sealed: sealPayload(dayKey, { recipientKey, id, expiresAt }, payload),
          createdAt,
          expiresAt,
          urgency: request.urgency,
          display: request.display ?? prompt.defaultDisplay,
        },
        signal,
      ),
    );
  }

  /** What a failed call leaves behind nobody may fetch: its ID was not promised to anyone. */
  async function takeBack(
    recipients: readonly RecipientKey[],
    id: NotificationId,
    log: Log,
    callSignal: AbortSignal,
  ): Promise<void> {
    const signal = withGrace(callSignal, TAKE_BACK_GRACE_MS);
    try {
      await mapBounded(recipients, MAX_PARALLEL_WRITES, (recipientKey) =>
        store.takeBackNotification(recipientKey, id, signal),
      );
    } catch {
      log.error("take_back_failed", { notificationId: id }); // what is left expires by itself
    }
  }

  /** Notes what the push came to, which no answer depends on. */
  async function markPush(
    recipients: readonly RecipientKey[],
    id: NotificationId,
    results: readonly PushResult[],
    log: Log,
    signal: AbortSignal,
  ): Promise<PushStatus> {
    const statuses = await mapBounded(recipients, MAX_PARALLEL_WRITES, async (recipientKey) => {
      const status = toRecipientStatus(recipientKey, results);
      if (status === "failed" || status === "no-devices")
        await store.markPush(recipientKey, id, status, signal).catch((error: unknown) => {
          log.warn("push_not_marked", { notificationId: id, cause: toCause(error) });
        });
      return status;
    });
    return toPushStatus(statuses);
  }

  function fault(request: SendRequest, payloadBytes: number, recipients: number): Failure | undefined {
    const pattern = limits.userIdPattern;
    if (pattern !== undefined && !request.to.every((userId) => pattern.test(userId)))
      return { reason: "body_invalid", detail: "to: a user id is not of the form used here" };
    if (payloadBytes > limits.maxPayloadBytes) return { reason: "payload_too_large" };
    if (recipients * payloadBytes > MAX_WRITTEN_BYTES) return { reason: "payload_too_large" };
    return undefined;
  }

  return {
    ...createInbox(options),
    register: installations.register,
    remove: installations.remove,

    send: async (request, payload, log, signal) => {
      const userIds = [...new Set(request.to)]; // duplicates count once
      const failure = fault(request, Buffer.byteLength(payload.reveal(), "utf8"), userIds.length);
      if (failure !== undefined) return err(failure);

      const purposes = await keyring.purposes(signal);
      const recipients = userIds.map((userId) => purposes.toRecipientKey(userId));
      const createdAt = clock.now();
      const expiresAt = new Date(createdAt.getTime() + (request.ttl ?? limits.defaultTtlSeconds) * 1000);
      const id = createNotificationId(createdAt, expiresAt);
      const sent = { id, createdAt, expiresAt };

      try {
        const [devices] = await both(
          mapBounded(recipients, MAX_PARALLEL_WRITES, async (recipientKey) => ({
            recipientKey,
            devices: await installations.listDevices(recipientKey, log, signal),
          })),
          writeRows(request, payload, recipients, sent, signal),
        );
        const message = toPushMessage(request, sent, purposes, prompt);
        const results = await pushAll(hub, toPushes(devices, clock.now()), message, signal);
        for (const { outcome, platform } of results)
          reportOutcome(log.with({ notificationId: id, platform }), outcome, "pushed");
        const unfinished = results
          .map(({ outcome }) => toFailure(outcome))
          .find((found) => found !== undefined);
        if (unfinished !== undefined) {
          await takeBack(recipients, id, log, signal);
          return err(unfinished);
        }
        const push = await markPush(recipients, id, results, log, signal);
        log.info("sent", { notificationId: id, recipients: recipients.length, push });
        return ok({ ...sent, push });
      } catch (error) {
        await takeBack(recipients, id, log, signal);
        throw error;
      }
    },

    isHealthy: (log, signal) => {
      const nowMs = clock.uncorrectedMs();
      if (health === undefined || nowMs - health.atMs >= HEALTH_KEPT_MS || nowMs < health.atMs) {
        const check = async () => {
          await store.ping(signal);
          await keyring.purposes(signal); // in memory but for once an hour
        };
        const isHealthy = check().then(
          () => true,
          (error: unknown) => {
            log.error("unhealthy", { cause: toCause(error) });
            return false;
          },
        );
        health = { atMs: nowMs, isHealthy };
      }
      return health.isHealthy;
    },
  };
}

function toPushMessage(
  { urgency, display, topic }: SendRequest,
  { id, expiresAt }: Omit<Sent, "push">,
  purposes: PurposeKeys,
  prompt: Prompt,
): PushMessage {
  return {
    notificationId: id,
    expiresAt,
    urgency,
    display: display ?? prompt.defaultDisplay,
    ...(topic === undefined ? {} : { wireTopic: purposes.toWireTopic(topic) }),
  };
}

/** Of one recipient's devices: accepted wherever one push was, else failed, else there were none. */
function toRecipientStatus(recipientKey: RecipientKey, results: readonly PushResult[]): PushStatus {
  const own = results.filter((result) => result.recipients.includes(recipientKey));
  if (own.some((result) => result.outcome.kind === "accepted")) return "accepted";
  return own.length > 0 ? "failed" : "no-devices";
}
