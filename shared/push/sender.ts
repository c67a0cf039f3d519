// What a sender is: one way to carry a notification's ID to devices. push/senders.ts picks one for each platform; the
// rest of the service knows senders by this interface alone. No I/O.
import type { CallContext } from "../base/context.ts";
import type { RecipientKey } from "../crypto/keyring.ts";
import type { NotificationId } from "../domain/id.ts";
import type { Platform, PushChannel, SenderName } from "../domain/installation.ts";
import type { Display, Urgency } from "../domain/notification.ts";

/** All that a push service ever learns of a notification (P1): there is no member for content. */
export interface PushMessage {
  readonly notificationId: NotificationId;
  /** A push service never keeps a push longer than its payload lives (P5). */
  readonly expiresAt: Date;
  readonly urgency: Urgency;
  readonly display: Display;
  /** A keyed hash of the topic: 32 base64url characters (RFC 8030 §5.4). */
  readonly wireTopic?: string;
}

/** The result of one push, named by what to do next. */
export type PushOutcome =
  | { readonly kind: "accepted"; readonly trackingId?: string }
  | { readonly kind: "gone" } // remove the installation if it has not changed since it was read
  // `isDeviceOnly`: it concerns this device (offline, a full queue) and says nothing about its destination.
  | { readonly kind: "throttled"; readonly retryAfterSeconds: number; readonly isDeviceOnly?: true }
  | { readonly kind: "transient"; readonly cause: string } // try again later
  // `status` is 0 where the TLS handshake refused our client certificate.
  | { readonly kind: "credentials"; readonly status: number } // our fault: raise an alarm, keep the device, try again
  | { readonly kind: "message"; readonly status: number } // our fault, and final
  | { readonly kind: "damaged"; readonly cause?: string }; // this device cannot be pushed to: final for it alone

/** The `cause` of a transient outcome when our own deadline cut the push off: no evidence against the other side. */
export const CUT_OFF = "our deadline";

/** A device as a sender needs it. */
export interface PushTarget {
  readonly platform: Platform;
  readonly channel: PushChannel;
  /** What `admit` answered when the device was registered. */
  readonly subscribedUnder?: string;
}

/** A registration to be judged by the sender that would serve it. */
export interface Registration {
  readonly platform: Platform;
  readonly channel: PushChannel;
  /** Web Push: the application server key that the browser subscribed under, if the app named it (base64url). */
  readonly vapidPublicKey?: string;
}

/** `refused`: `detail` names the member and the rule, and holds no text of the caller's. */
export type Admission =
  | { readonly kind: "admitted"; readonly subscribedUnder?: string }
  | { readonly kind: "refused"; readonly detail: string };

export interface Sender {
  readonly name: SenderName;
  readonly platforms: readonly Platform[];
  /**
   * Whether it can push now. A configuration error (a bad key or certificate) stops one sender alone: it takes no new
   * registrations, and what is pending for its devices waits until the error is fixed or the notification expires.
   */
  readonly isServing: () => boolean;
  /** Judges a push channel before it is stored; without it every channel is admitted. */
  readonly admit?: (registration: Registration, context: CallContext) => Promise<Admission>;
  /** Pushes to one device. Whatever happens is an outcome; it throws only for a bug. */
  readonly push: (target: PushTarget, message: PushMessage, context: CallContext) => Promise<PushOutcome>;
  /**
   * The push service that a channel belongs to (its origin). Pauses apply to one destination. A sender without this is
   * one destination by itself.
   */
  readonly toDestination?: (channel: PushChannel) => string;
  readonly groups?: GroupPush;
  readonly directory?: Directory;
}

/** Pushing to all of a recipient's devices on a platform in one call (the hub's tags). */
export interface GroupPush {
  /** Recipients of one call. */
  readonly maxRecipients: number;
  /** How long after a registration a group push may still miss the device. */
  readonly visibleAfterMs: number;
  /** How many such new devices of one recipient and platform are pushed to directly. */
  readonly maxDirectPushes: number;
  /** To every device of these recipients (1 to `maxRecipients`) on one platform, and never to anybody else. */
  readonly push: (
    platform: Platform,
    recipients: readonly RecipientKey[],
    message: PushMessage,
    context: CallContext,
  ) => Promise<PushOutcome>;
}

/** Keeping the service behind a sender informed of who holds which push channel (the hub's installations). */
export interface Directory {
  /** Creates or replaces an entry. */
  readonly put: (entry: DirectoryEntry, context: CallContext) => Promise<DirectoryOutcome>;
  /** Accepted too when there was no such entry. */
  readonly remove: (entryId: string, context: CallContext) => Promise<DirectoryOutcome>;
}

export interface DirectoryEntry {
  /** One for each time that a push channel is taken, so that a late removal cannot meet a newer registration. */
  readonly entryId: string;
  readonly recipientKey: RecipientKey;
  readonly platform: Platform;
  readonly channel: PushChannel;
  readonly expiresAt: Date;
}

/** `refused`: the service says plainly that this push channel is invalid. Only that may end a registration. */
export type DirectoryOutcome =
  | Extract<PushOutcome, { readonly kind: "accepted" | "throttled" | "transient" | "credentials" }>
  | { readonly kind: "refused"; readonly status: number };
