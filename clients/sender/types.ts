// What a back end and the service exchange, in the words of the service's OpenAPI document (`/api/openapi.json`). A test
// generates types from the document of a running service and holds these to them. Types alone.

/** A notification to send. Members that are left out take the deployment's defaults. */
export interface SendRequest {
  /** 1 to 100 user ids, each of 1 to 256 visible ASCII characters. */
  readonly to: readonly string[];
  /** Any JSON value. It is encrypted and stored; only its ID is pushed. */
  readonly payload: unknown;
  /** Seconds until the notification expires. */
  readonly ttl?: number;
  /** How much of a device's battery the push may cost (RFC 8030 §5.3). */
  readonly urgency?: "very-low" | "low" | "normal" | "high";
  /** A newer push replaces an undelivered one of the same topic (RFC 8030 §5.4): 1 to 32 base64url characters. */
  readonly topic?: string;
  /** `alert`: a generic text that the app may replace. `silent`: a background wake. */
  readonly display?: "alert" | "silent";
}

/** The result of the pushes. The payload can be fetched in each case. */
export type PushStatus = "accepted" | "pending" | "failed" | "noDevices";

/** A notification that the service stored for every recipient. */
export interface Sent {
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** ISO 8601, UTC. From this moment on the payload is gone. */
  readonly expiresAt: string;
  readonly push: PushStatus;
}

/** What became of a notification for one recipient. */
export interface Receipt {
  /** The user id, in the service's folded form. */
  readonly to: string;
  /** `unknown`: the service knows nothing of it, or nothing any more. */
  readonly push: PushStatus | "unknown";
  /** ISO 8601, UTC: when a device first fetched it. */
  readonly fetchedAt?: string;
  /** ISO 8601, UTC: when a device first marked it read. */
  readonly readAt?: string;
}

export interface Receipts {
  readonly id: string;
  /** In the order of the user ids that were asked for. */
  readonly receipts: readonly Receipt[];
}

/** The body of a refusal (RFC 9457). */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** Stable, for programs. The OpenAPI document lists the reasons of each operation. */
  readonly reason: string;
  /** Names the member of the body and the rule that it breaks. */
  readonly detail?: string;
}
