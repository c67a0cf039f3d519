// Rows of the outbox: work that is still to be done, and when each queue looks at it next. No I/O.
import * as z from "zod";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import { ReconcileWork } from "./reconcileWork.ts";
import type { NotificationId } from "../domain/id.ts";
import { PLATFORMS, SENDER_NAMES } from "../domain/installation.ts";
import { Display, Urgency } from "../domain/notification.ts";

/**
 * Each queue is a range of keys of its own, ordered by due time, so that work which needs no sender never waits behind
 * work that does, and a paused sender's queue is simply not read:
 * `unsent` (a send whose first try did not finish), `expire` (pushes still pending when their notification expires),
 * `reconcile` and `erase` (tasks), and one queue for the pending pushes of each sender.
 */
export const QUEUES = ["unsent", "expire", "reconcile", "erase", ...SENDER_NAMES] as const;
export type QueueName = (typeof QUEUES)[number];

/** `task-`, 15 digits of the creation time in milliseconds, `-`, a UUID. */
export type TaskId = string & { readonly __brand: "TaskId" };

/** What names an outbox row: a notification's ID, or a task's own. */
export type OutboxKey = NotificationId | TaskId;

const recipientKey = z.custom<RecipientKey>(
  (value) => typeof value === "string" && /^[A-Za-z0-9_-]{43}$/.test(value),
);
const channelKey = z.custom<ChannelKey>((value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value));
const instant = z.iso.datetime().transform((text) => new Date(text));

/** A push that is still to be made: to one device (`channelKey`), or to all of a recipient's devices on a platform. */
export interface PendingTarget {
  readonly sender: (typeof SENDER_NAMES)[number];
  readonly platform: (typeof PLATFORMS)[number];
  readonly channelKey?: ChannelKey;
  /** A refusal delays the target that it answered. */
  readonly dueAt?: Date;
}

const PendingTarget: z.ZodType<PendingTarget> = z
  .object({
    sender: z.enum(SENDER_NAMES),
    platform: z.enum(PLATFORMS),
    channelKey: channelKey.optional(),
    dueAt: instant.optional(),
  })
  .transform(({ channelKey: key, dueAt, ...target }) => ({
    ...target,
    ...(key === undefined ? {} : { channelKey: key }),
    ...(dueAt === undefined ? {} : { dueAt }),
  }));

/** What is pending for one recipient of a notification, and the results so far. */
export interface PendingRecipient {
  readonly recipientKey: RecipientKey;
  /** Not known before the first try. */
  readonly targets?: readonly PendingTarget[];
  readonly isAccepted: boolean;
  readonly hasFailed: boolean;
}

const PendingRecipient: z.ZodType<PendingRecipient> = z
  .object({
    recipientKey,
    targets: z.array(PendingTarget).optional(),
    isAccepted: z.boolean(),
    hasFailed: z.boolean(),
  })
  .transform(({ targets, ...rest }) => (targets === undefined ? rest : { ...rest, targets }));

/** The pushes of one notification. */
export interface SendWork {
  readonly kind: "send";
  readonly expiresAt: Date;
  readonly urgency: Urgency;
  readonly display: Display;
  /** Whether every recipient's payload row is known to have been written. Nothing is pushed before that. */
  readonly isWritten: boolean;
  readonly pending: readonly PendingRecipient[];
  /** Recipients whose push failed for good. */
  readonly failed: readonly RecipientKey[];
}

/** Recipients of whom nothing older than `before` is to be left. */
export interface EraseWork {
  readonly kind: "erase";
  readonly recipientKeys: readonly RecipientKey[];
  readonly before: Date;
  /** The first pass is done; a second one catches what was being written meanwhile. */
  readonly isSecondPass: boolean;
}

export type Work = SendWork | ReconcileWork | EraseWork;

/** Parses work as it is stored (JSON). */
export const StoredWork: z.ZodType<Work> = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("send"),
    expiresAt: instant,
    urgency: Urgency,
    display: Display,
    isWritten: z.boolean(),
    pending: z.array(PendingRecipient),
    failed: z.array(recipientKey),
  }),
  ReconcileWork,
  z.object({
    kind: z.literal("erase"),
    recipientKeys: z.array(recipientKey),
    before: instant,
    isSecondPass: z.boolean(),
  }),
]);

/** When each queue is to look at a row next; a queue that is not named has nothing to do with it. */
export type Due = Readonly<Partial<Record<QueueName, Date>>>;

export interface OutboxRow<W extends Work = Work> {
  readonly createdAt: Date;
  readonly attempts: number;
  readonly work: W;
  readonly due: Due;
  /** Until then one worker owns the row. Whoever takes it later must win its ETag. */
  readonly leaseUntil?: Date;
}

/** Why work ended without success: refused by hub or push service, expired before it was accepted, or given up. */
export const DEAD_LETTER_REASONS = ["refused", "expired", "abandoned"] as const;
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number];

/** Work that failed for good, kept to be seen by receipts and operators (R111). */
export interface DeadLetter {
  readonly reason: DeadLetterReason;
  readonly createdAt: Date;
  readonly attempts: number;
  readonly work: Work;
}
