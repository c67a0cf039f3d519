// The seam between the service and what carries an ID to devices: the hub now, Web Push and MPNS beside it.
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import type { NotificationId } from "../domain/id.ts";
import type { Display, Platform, PushChannel, Urgency } from "../domain/notification.ts";

/** All that a push service ever learns of a notification (P1): there is no member for content. */
export interface PushMessage {
  readonly notificationId: NotificationId;
  /** A push is never kept longer than its payload (P5). */
  readonly expiresAt: Date;
  readonly urgency: Urgency;
  readonly display: Display;
  /** A keyed hash of the topic. */
  readonly wireTopic?: string;
}

/** What one push came to, named by what to do next. */
export type PushOutcome =
  | { readonly kind: "accepted"; readonly trackingId?: string }
  | { readonly kind: "gone" } // forget the installation
  | { readonly kind: "throttled"; readonly retryAfterSeconds: number }
  | { readonly kind: "transient"; readonly cause: string } // try again later
  | { readonly kind: "credentials"; readonly status: number } // our fault: alarm, keep, try again
  | { readonly kind: "message"; readonly status: number } // our fault: final
  | { readonly kind: "damaged"; readonly cause?: string }; // what it is to go to makes no sense: final

/** Carries IDs to single devices. */
interface Sender {
  readonly platforms: readonly Platform[];
  readonly pushToDevice: (
    platform: Platform,
    channel: PushChannel,
    message: PushMessage,
    signal: AbortSignal,
  ) => Promise<PushOutcome>;
}

export const MAX_RECIPIENTS_PER_PUSH = 20;

/** A hub knows the devices itself: it is kept told who holds which push channel, and reaches them by recipient. */
export interface HubSender extends Sender {
  /** To every device of these recipients (1 to 20) on one platform; never to anybody else. */
  readonly pushToRecipients: (
    platform: Platform,
    recipients: readonly RecipientKey[],
    message: PushMessage,
    signal: AbortSignal,
  ) => Promise<PushOutcome>;
  /** Makes or replaces what stands under this channel. */
  readonly putInstallation: (installation: HubInstallation, signal: AbortSignal) => Promise<PushOutcome>;
  /** Accepted too when nothing stood there. */
  readonly deleteInstallation: (channelKey: ChannelKey, signal: AbortSignal) => Promise<PushOutcome>;
}

export interface HubInstallation {
  /** The hub's installation id: a new owner of a push channel replaces the old one in one write. */
  readonly channelKey: ChannelKey;
  readonly recipientKey: RecipientKey;
  readonly platform: Platform;
  readonly channel: PushChannel;
  readonly expiresAt: Date;
}
