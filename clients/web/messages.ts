// What the page and the service worker say to each other. Types alone.

/** A command of the page. Each gets one `Reply` through the port that comes with it. */
export type Command =
  | { readonly type: "signIn"; readonly session: Session }
  | { readonly type: "signOut" }
  | { readonly type: "register"; readonly device: DeviceRegistration }
  | { readonly type: "catchUp" }
  | { readonly type: "fetch" | "markRead" | "delete"; readonly id: string };

/** Who is signed in on this device, and where the service is. Only the worker keeps it. */
export interface Session {
  /** With `/api`: `https://APP.azurewebsites.net/api`. */
  readonly apiUrl: string;
  readonly accessToken: string;
  /** Whatever tells users apart. When it changes, the worker forgets what it knows of the previous user. */
  readonly userId: string;
}

/** The body of `PUT installations/{installationId}`. */
export interface DeviceRegistration {
  readonly platform: string;
  readonly pushChannel: string | BrowserChannel;
  /** The application server key of a browser's subscription. */
  readonly vapidPublicKey?: string;
}

/** A browser's subscription as the service takes it. */
export interface BrowserChannel {
  readonly endpoint: string;
  readonly p256dh: string;
  readonly auth: string;
}

export type Reply =
  { readonly isOk: true; readonly value: unknown } | { readonly isOk: false; readonly failure: Failure };

export interface Failure {
  /** The service's `reason`, or `token_missing` (nobody is signed in), or `offline` (no answer). */
  readonly reason: string;
  /** The HTTP status; absent without an answer. */
  readonly status?: number;
}

/** A notification as the service gives it. */
export interface StoredNotification {
  readonly id: string;
  readonly payload: unknown;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly read: boolean;
}

/** What happened in the worker, for pages that show it. */
export type WorkerEvent =
  | { readonly type: "woken"; readonly id: string | undefined }
  | { readonly type: "repeated"; readonly id: string }
  | { readonly type: "shown"; readonly notification: StoredNotification }
  /** The generic text was shown, because the fetch failed. */
  | { readonly type: "generic"; readonly id: string | undefined; readonly failure: Failure };

/** An event as it reaches every page of the origin. */
export interface WorkerMessage {
  readonly from: "secure-push";
  /** The scope of the worker's registration. */
  readonly scope: string;
  readonly event: WorkerEvent;
}
