// What the service needs of storage. Interfaces only; tableStore.ts implements them on Azure Table Storage.
import type { ClaimKey, KeyRows, RecipientKey } from "../crypto/keyring.ts";
import type { InstallationRows } from "./storedDevices.ts";
import type { DeadLetter, OutboxKey, OutboxRow, QueueName } from "./outboxWork.ts";
import type { Display, Urgency } from "../domain/notification.ts";
import type { Day, NotificationId } from "../domain/id.ts";

/** A payload row. The payload is sealed before it gets here. */
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
 * or the send was rolled back, because its ID was promised to nobody (only that row may be written again).
 */
export const GONE = ["deleted", "erased", "rolledBack"] as const;
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

/** What was read, with the version that a change has to name. */
export interface Versioned<T> {
  readonly value: T;
  readonly etag: string;
}

interface StoredDays {
  readonly tables: ReadonlySet<Day>;
  readonly keys: ReadonlySet<Day>;
}

/** `gone`: the row has become a tombstone meanwhile. A mark that exists already is not checked again. */
export type MarkOutcome = "marked" | "gone";

/** A recipient's rows that expire on one day, past an ID. */
interface MarksRange {
  readonly recipientKey: RecipientKey;
  readonly day: Day;
  readonly after: NotificationId | undefined;
}

/** Payload rows. Apart from the first, an operation on a missing row changes nothing. */
export interface NotificationRows {
  /**
   * An existing row stays as it is, and so does a tombstone. Only a later try may write `again` what was rolled back; a
   * `new` try has lost its outbox row by then, and throws StoreUnavailableError.
   */
  readonly insertNotification: (
    row: NotificationRow,
    how: "new" | "again",
    signal: AbortSignal,
  ) => Promise<void>;
  /** `undefined` for a tombstone too. */
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
  /** At most `limit` rows, tombstones too, in the order of their IDs (newest first). */
  readonly listMarks: (
    rows: MarksRange,
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
  /** Rolls back a row whose ID was promised to nobody; a tombstone also refuses a write that is still on its way. */
  readonly rollBackNotification: (
    recipientKey: RecipientKey,
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<void>;
}

/** One change of an outbox row: an insertion (`after` alone), a replacement (both), or a deletion (`before` alone). */
export interface OutboxChange {
  readonly key: OutboxKey;
  readonly before?: Versioned<OutboxRow>;
  readonly after?: OutboxRow;
}

/** A queue's record that a row is to be looked at. */
export interface ScheduleEntry {
  readonly queue: QueueName;
  readonly key: OutboxKey;
  readonly dueAt: Date;
  readonly partitionKey: string;
  readonly rowKey: string;
}

/** Entries of one queue in one shard that are due until then, the earliest first, past `after`. */
interface DueRange {
  readonly queue: QueueName;
  readonly shard: number;
  readonly until: Date;
  readonly after?: ScheduleEntry;
}

/** Work that is still to be done. A row and its schedule entries change together. */
export interface OutboxRows {
  /** A row that this code cannot read, damaged or of another version, has no value. */
  readonly readOutbox: (
    key: OutboxKey,
    signal: AbortSignal,
  ) => Promise<Versioned<OutboxRow | undefined> | undefined>;
  /** Answers the version written (an empty text for a deletion), or `undefined` where the row has changed. */
  readonly writeOutbox: (change: OutboxChange, signal: AbortSignal) => Promise<string | undefined>;
  /** The same for many rows, with as few calls as possible; the answers in their order. */
  readonly writeOutboxBatch: (
    changes: readonly OutboxChange[],
    signal: AbortSignal,
  ) => Promise<readonly (string | undefined)[]>;
  /** Costs in proportion to what it answers, however many rows there are. */
  readonly listDue: (
    range: DueRange,
    limit: number,
    signal: AbortSignal,
  ) => Promise<readonly ScheduleEntry[]>;
  /** Has a queue look at a row at another time, or not at all; the row is not touched. */
  readonly moveEntry: (entry: ScheduleEntry, dueAt: Date | undefined, signal: AbortSignal) => Promise<void>;
  /** Costs the same however many rows there are. */
  readonly countOutbox: (signal: AbortSignal) => Promise<OutboxCount>;
}

/** How many rows there are (a thousand stands for more), and when the oldest was created. */
export interface OutboxCount {
  readonly open: number;
  readonly oldestAt?: Date;
}

/** Dead letters. `now` chooses the table of a task's; a notification's is chosen by its ID. */
export interface DeadLetterRows {
  /** Replaces an earlier one. */
  readonly putDeadLetter: (
    key: OutboxKey,
    letter: DeadLetter,
    now: Date,
    signal: AbortSignal,
  ) => Promise<void>;
  readonly readDeadLetter: (
    id: NotificationId,
    signal: AbortSignal,
  ) => Promise<Versioned<DeadLetter> | undefined>;
  /** False where it has changed. */
  readonly writeDeadLetter: (
    id: NotificationId,
    letter: DeadLetter,
    etag: string,
    signal: AbortSignal,
  ) => Promise<boolean>;
  /** False where it has changed. */
  readonly deleteDeadLetter: (id: NotificationId, etag: string, signal: AbortSignal) => Promise<boolean>;
  /** The weeks for which there is a table, by their Mondays. */
  readonly listDeadLetterWeeks: (signal: AbortSignal) => Promise<readonly Day[]>;
  readonly dropDeadLetterWeek: (week: Day, signal: AbortSignal) => Promise<void>;
}

/** Until when nothing is to be pushed to a destination, by its name (sending/gates.ts). */
export interface PauseRows {
  readonly listPauses: (now: Date, signal: AbortSignal) => Promise<ReadonlyMap<string, Date>>;
  /** Changes nothing where a later end is recorded. */
  readonly pause: (name: string, until: Date, signal: AbortSignal) => Promise<void>;
}

/** Which notification an idempotency key stands for. */
export interface Claim {
  /** Keyed hash of the request. */
  readonly fingerprint: string;
  readonly id: NotificationId;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly claimedAt: Date;
}

/** Where a claim is: its key, in the table of a day. */
export interface ClaimAddress {
  readonly day: Day;
  readonly key: ClaimKey;
}

/** Claims of idempotency keys. */
export interface ClaimRows {
  readonly readClaim: (address: ClaimAddress, signal: AbortSignal) => Promise<Versioned<Claim> | undefined>;
  /** Inserts without an ETag, else replaces that version. `undefined`: there is one already, or it has changed. */
  readonly writeClaim: (
    address: ClaimAddress,
    claim: Claim,
    etag: string | undefined,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
  readonly deleteClaim: (address: ClaimAddress, etag: string, signal: AbortSignal) => Promise<void>;
  readonly listClaimDays: (signal: AbortSignal) => Promise<readonly Day[]>;
  readonly prepareClaimDay: (day: Day, signal: AbortSignal) => Promise<void>;
  readonly dropClaimDay: (day: Day, signal: AbortSignal) => Promise<void>;
}

/**
 * Storage. Every operation ends with `signal`; what cannot be reached throws StoreUnavailableError. Missing
 * tables are made by the first write into them; to a read they are empty.
 */
export interface Store
  extends KeyRows, NotificationRows, InstallationRows, OutboxRows, DeadLetterRows, PauseRows, ClaimRows {
  /** The days for which there is a table of notifications, or a data key. */
  readonly listDays: (signal: AbortSignal) => Promise<StoredDays>;
  /** Makes the table of a day that is not over; an existing one is no failure. */
  readonly prepareDay: (day: Day, signal: AbortSignal) => Promise<void>;
  /** Destroys a day's data key, and then its table with every row in it. What is gone already is no failure. */
  readonly dropDay: (day: Day, signal: AbortSignal) => Promise<void>;

  /** One cheap read, to see whether storage answers. */
  readonly ping: (signal: AbortSignal) => Promise<void>;
}

/** Storage could not be reached, or refuses us. The caller may try again later. */
export class StoreUnavailableError extends Error {
  readonly code = "STORE_UNAVAILABLE";
}
