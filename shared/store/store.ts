// What the service needs of storage. No SDK here; table.ts and tableStore.ts stand behind it.
import type { ChannelKey, ClaimKey, KeyRows, RecipientKey } from "../crypto/keyring.ts";
import type { Display, InstallationId, Platform, PushStatus, Urgency } from "../domain/notification.ts";
import type { Day, NotificationId } from "../domain/id.ts";

/** A payload row as it is written: sealed before it comes here. */
export interface NotificationRow {
  readonly recipientKey: RecipientKey;
  readonly id: NotificationId;
  readonly sealed: Uint8Array;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly urgency: Urgency;
  readonly display: Display;
}

/** How a recipient's push ended, where it was not simply accepted. */
type PushMark = "failed" | "noDevices";

/**
 * Why only a tombstone is left: the user deleted it (it keeps the marks); the recipient was erased (it keeps nothing);
 * or it was taken back, since its ID was promised to nobody (that one alone may be written again).
 */
export const GONE = ["deleted", "erased", "takenBack"] as const;
export type Gone = (typeof GONE)[number];

/** What a row says beside the payload. Times are missing only where a tombstone does not keep them. */
export interface NotificationMarks {
  readonly recipientKey: RecipientKey;
  readonly id: NotificationId;
  readonly gone?: Gone;
  readonly createdAt?: Date;
  readonly expiresAt?: Date;
  readonly fetchedAt?: Date;
  readonly readAt?: Date;
  readonly push?: PushMark;
  /** In a list: the row cannot be read, so that nothing but its ID is known. */
  readonly isDamaged?: true;
}

export interface StoredNotification extends NotificationRow, NotificationMarks {
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

export interface InstallationRow {
  readonly recipientKey: RecipientKey;
  readonly installationId: InstallationId;
  readonly platform: Platform;
  readonly channelKey: ChannelKey;
  readonly sealedPushChannel: Uint8Array;
  /** When it was made, or moved to another push channel: the hub shows it to tags some time later. */
  readonly changedAt: Date;
  readonly renewedAt: Date;
  /** Channels that it held before and that are not known to be free yet: it is its own journal. */
  readonly leaving: readonly ChannelKey[];
}

export interface ChannelRow {
  /** Who holds the push channel now; nobody: the row is about to be deleted. */
  readonly holder?: ChannelHolder;
  /** Holders before, the last one last, whose rows may still stand. */
  readonly displaced: readonly ChannelHolder[];
  /** Whether the hub, and the rows of former holders, are known to agree. */
  readonly isSettled: boolean;
}

export interface ChannelHolder {
  readonly recipientKey: RecipientKey;
  readonly installationId: InstallationId;
}

/** What was read, with the version that a change has to name. */
export interface Versioned<T> {
  readonly value: T;
  readonly etag: string;
}

interface StoredDays {
  readonly tables: ReadonlySet<Day>;
  readonly keys: ReadonlySet<Day>;
}

/** `changed`: somebody else was faster (or the row is gone); read again and decide anew. */
export type WriteOutcome = "written" | "changed";

/** `gone`: a tombstone was found to stand there meanwhile. A mark that stands already is not looked at again. */
export type MarkOutcome = "marked" | "gone";

/** Payload rows. An operation on a row that is not there changes nothing, but for the first. */
export interface NotificationRows {
  /**
   * One that stands already is left as it is, also a tombstone. Only a later try may write `again` what was taken back;
   * a `new` one has lost its outbox row by then, and throws StoreUnavailableError.
   */
  readonly insertNotification: (
    row: NotificationRow,
    how: "new" | "again",
    signal: AbortSignal,
  ) => Promise<void>;
  /** Nothing where a tombstone stands. */
  readonly readNotification: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<Versioned<StoredNotification> | undefined>;
  /** Without the payload; tombstones too. */
  readonly readMarks: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<Versioned<NotificationMarks> | undefined>;
  /** A recipient's rows that expire on a day, tombstones too, in the order of their IDs (newest first), past `after`. */
  readonly listMarks: (
    recipientKey: RecipientKey,
    day: Day,
    after: NotificationId | undefined,
    limit: number,
    signal: AbortSignal,
  ) => Promise<readonly Versioned<NotificationMarks>[]>;
  /** Records the first fetch of what was read; a later one changes nothing. */
  readonly markFetched: (
    read: Versioned<NotificationMarks>,
    at: Date,
    signal: AbortSignal,
  ) => Promise<MarkOutcome>;
  /** Records that its user has read it; the first time stays. */
  readonly markRead: (
    read: Versioned<NotificationMarks>,
    at: Date,
    signal: AbortSignal,
  ) => Promise<MarkOutcome>;
  readonly markPush: (
    recipientKey: RecipientKey,
    id: NotificationId,
    mark: PushMark,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Erases the payload; a tombstone keeps the marks. */
  readonly deleteNotification: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Erases everything but that the ID was used. */
  readonly eraseNotification: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Takes back a row whose ID nobody was told, and keeps out one that may still be on its way. */
  readonly takeBackNotification: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<void>;
}

/** Devices, and who holds their push channels. */
export interface InstallationRows {
  /** All installations of a user, also those not renewed in time; one that this code cannot read has no value. */
  readonly listInstallations: (
    recipientKey: RecipientKey,
    signal: AbortSignal,
  ) => Promise<readonly (Versioned<InstallationRow | undefined> & { readonly holder: ChannelHolder })[]>;
  readonly readInstallation: (
    holder: ChannelHolder,
    signal: AbortSignal,
  ) => Promise<Versioned<InstallationRow | undefined> | undefined>;
  /** Inserts without an etag, else replaces exactly that version. */
  readonly writeInstallation: (
    row: InstallationRow,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<WriteOutcome>;
  readonly deleteInstallation: (
    holder: ChannelHolder,
    etag: string,
    signal: AbortSignal,
  ) => Promise<WriteOutcome>;

  readonly readChannel: (
    channelKey: ChannelKey,
    signal: AbortSignal,
  ) => Promise<Versioned<ChannelRow> | undefined>;
  /** Inserts without an etag, else replaces exactly that version. */
  readonly writeChannel: (
    channelKey: ChannelKey,
    row: ChannelRow,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<WriteOutcome>;
  readonly deleteChannel: (
    channelKey: ChannelKey,
    etag: string,
    signal: AbortSignal,
  ) => Promise<WriteOutcome>;
}

/** What an outbox row is for, and how it is found: a notification's ID, or a task's own. */
export type OutboxKey = NotificationId | (string & { readonly __brand: "TaskId" });

/** A push that is still owed: by tag to all of a recipient's devices on a platform, or to one device. */
export interface Target {
  readonly platform: Platform;
  readonly installationId?: InstallationId;
}

/** What is owed to one recipient of a notification, and what came of the rest. */
export interface Owed {
  readonly recipientKey: RecipientKey;
  /** Not known before the first try. */
  readonly targets?: readonly Target[];
  readonly isAccepted: boolean;
  readonly hasFailed: boolean;
}

/** The pushes of one notification. */
export interface SendWork {
  readonly kind: "send";
  readonly expiresAt: Date;
  readonly urgency: Urgency;
  readonly display: Display;
  /** Whether every recipient's payload row is known to have been written; before that nothing is pushed. */
  readonly isWritten: boolean;
  readonly owed: readonly Owed[];
  /** Whose push failed for good. */
  readonly failed: readonly RecipientKey[];
}

/** A device that was registered, moved or removed: its push channels are to be settled. */
export interface SettleWork {
  readonly kind: "settle";
  readonly holder: ChannelHolder;
  readonly channelKeys: readonly ChannelKey[];
}

/** Recipients of whom nothing that stood before `before` is to be left. */
export interface EraseWork {
  readonly kind: "erase";
  readonly recipientKeys: readonly RecipientKey[];
  readonly before: Date;
}

export type Work = SendWork | SettleWork | EraseWork;

/** Work that is still to be done; dead: that failed for good, kept to be seen. */
export interface OutboxRow {
  readonly createdAt: Date;
  readonly attempts: number;
  readonly work: Work;
  /** When it may be taken next; nobody takes a dead one. */
  readonly dueAt?: Date;
  /** Until then it is somebody's, who may be at work on it. */
  readonly leaseUntil?: Date;
  /** Of a dead row: why, and when dropExpired may delete it. */
  readonly reason?: DeadReason;
  readonly dropAfter?: Date;
}

/** `refused`: as our own fault, by hub or push service; `expired`: not accepted in time; `abandoned`: tried for too long. */
export const DEAD_REASONS = ["refused", "expired", "abandoned"] as const;
export type DeadReason = (typeof DEAD_REASONS)[number];

/** A row as it was listed; one that this code cannot read has no value. */
export interface ListedOutboxRow {
  readonly key: OutboxKey;
  /** Where it lies, which is elsewhere than where it belongs for one that somebody has moved. */
  readonly partitionKey: string;
  readonly etag: string;
  readonly dueAt?: Date;
  readonly value: OutboxRow | undefined;
}

/** What is still to be done, and who does it now. */
export interface OutboxRows {
  /** Inserts without an etag, else replaces that version. Answers the version written; nothing where it has changed. */
  readonly putOutbox: (
    key: OutboxKey,
    row: OutboxRow,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
  readonly readOutbox: (
    key: OutboxKey,
    signal: AbortSignal,
  ) => Promise<Versioned<OutboxRow | undefined> | undefined>;
  readonly deleteOutbox: (key: OutboxKey, etag: string, signal: AbortSignal) => Promise<WriteOutcome>;
  /** Rows that are due before that, dead ones never; so many at most, in no order. */
  readonly listDue: (before: Date, limit: number, signal: AbortSignal) => Promise<readonly ListedOutboxRow[]>;
  /** All rows, dead ones too. */
  readonly listOutbox: (signal: AbortSignal) => Promise<readonly ListedOutboxRow[]>;
  /** How many rows are open, and since when the oldest of them is: of the first thousand, if there are more. */
  readonly countOutbox: (signal: AbortSignal) => Promise<{ readonly open: number; readonly oldestAt?: Date }>;
  /** Has a row that cannot be read come up again later, as it stands. */
  readonly postponeUnreadable: (row: ListedOutboxRow, dueAt: Date, signal: AbortSignal) => Promise<void>;
  /** Until when nothing is to be pushed through this sender. */
  readonly readPause: (sender: string, signal: AbortSignal) => Promise<Date | undefined>;
  /** An earlier end than the one that stands changes nothing. */
  readonly pause: (sender: string, until: Date, signal: AbortSignal) => Promise<void>;
}

/** What an idempotency key stands for: the one notification of its request. */
export interface Claim {
  /** Keyed hash of the request. */
  readonly fingerprint: string;
  readonly id: NotificationId;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** Until then the one who holds it is at work. */
  readonly leaseUntil?: Date;
  /** What was answered; nothing before that. */
  readonly push?: PushStatus;
  /** When the key is forgotten. */
  readonly dropAfter: Date;
}

export interface ClaimRows {
  readonly readClaim: (key: ClaimKey, signal: AbortSignal) => Promise<Versioned<Claim> | undefined>;
  /** As putOutbox. */
  readonly putClaim: (
    key: ClaimKey,
    claim: Claim,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
}

/**
 * Storage. Every operation ends with `signal`; what cannot be reached throws StoreUnavailableError. Missing
 * tables are made by the first write into them; to a read they are empty.
 */
export interface Store extends KeyRows, NotificationRows, InstallationRows, OutboxRows, ClaimRows {
  /** The days for which there is a table of notifications, or a data key. */
  readonly listDays: (signal: AbortSignal) => Promise<StoredDays>;
  /** Makes the table of a day that is not over; one that stands already is no failure. */
  readonly prepareDay: (day: Day, signal: AbortSignal) => Promise<void>;
  /** Destroys a day's data key, and then its table with every row in it. What is gone already is no failure. */
  readonly dropDay: (day: Day, signal: AbortSignal) => Promise<void>;

  /**
   * Deletes rows of `outbox` and `idempotency` whose time (`dropAfter`) is past, each as it was read and a bounded
   * number at once; answers how many.
   */
  readonly dropStale: (now: Date, signal: AbortSignal) => Promise<number>;

  /** One cheap read, to see whether storage answers. */
  readonly ping: (signal: AbortSignal) => Promise<void>;
}

/** Storage could not be reached, or refuses us. The caller may try again later. */
export class StoreUnavailableError extends Error {
  readonly code = "STORE_UNAVAILABLE";
}
