// The page's half of the client: subscribes to pushes and gives commands to the service worker (serviceWorker.ts), which
// keeps the token and makes the calls. I/O: the push service through the browser, HTTPS for the public push configuration.
import type {
  BrowserChannel,
  Command,
  DeviceRegistration,
  Failure,
  Reply,
  Session,
  StoredNotification,
  WorkerEvent,
  WorkerMessage,
} from "../messages.ts";

export type { Failure, Session, StoredNotification, WorkerEvent } from "../messages.ts";

export interface PushClientOptions {
  /** Of the service worker that calls `servePushes`. */
  readonly registration: ServiceWorkerRegistration;
  /** With `/api`: `https://APP.azurewebsites.net/api`. */
  readonly apiUrl: string;
  /** Replaces the browser's, for tests. */
  readonly pushManager?: PushManagerLike;
}

/** The part of `PushManager` that the client uses. */
export interface PushManagerLike {
  readonly getSubscription: () => Promise<SubscriptionLike | null>;
  readonly subscribe: (options: {
    readonly userVisibleOnly: boolean;
    readonly applicationServerKey: string;
  }) => Promise<SubscriptionLike>;
}

export interface SubscriptionLike {
  readonly options: { readonly applicationServerKey: ArrayBuffer | null };
  readonly toJSON: () => PushSubscriptionJSON;
  readonly unsubscribe: () => Promise<boolean>;
}

/** The result of `subscribe`, by what the app should do next. */
export type Subscribed =
  | { readonly kind: "subscribed" }
  /** This browser has no Web Push. On iOS and iPadOS the user must add the app to the home screen first. */
  | { readonly kind: "unsupported"; readonly needsHomeScreen: boolean }
  /** The user does not allow notifications, and only the user can change that, in the browser's settings. */
  | { readonly kind: "denied" }
  /** The service has no application server key. */
  | { readonly kind: "notServed" }
  /** The push service or ours failed. Try again later. */
  | { readonly kind: "failed"; readonly failure: Failure };

export type Outcome<T> =
  { readonly isOk: true; readonly value: T } | { readonly isOk: false; readonly failure: Failure };

export interface PushClient {
  /** Gives the token to the worker and shows what was missed. Do not keep the token in the page. */
  readonly signIn: (accessToken: string, userId: string) => Promise<Outcome<void>>;
  /** Removes this device at the service, ends the subscription, and forgets the user. */
  readonly signOut: () => Promise<Outcome<void>>;
  /**
   * Subscribes and registers. Call it in a click, for browsers ask the user only then, and call it again at each start
   * of the app, which renews the registration and replaces a subscription made under an earlier key.
   */
  readonly subscribe: () => Promise<Subscribed>;
  /** Registers a device of another platform, whose push channel the app knows. */
  readonly register: (device: DeviceRegistration) => Promise<Outcome<void>>;
  /** Fetches and shows the notifications whose pushes did not arrive. Call it when the app is opened. */
  readonly catchUp: () => Promise<Outcome<void>>;
  readonly fetch: (id: string) => Promise<Outcome<StoredNotification>>;
  readonly markRead: (id: string) => Promise<Outcome<void>>;
  readonly remove: (id: string) => Promise<Outcome<void>>;
  /** Calls the listener for each event of the worker. Returns a function that ends this. */
  readonly onEvent: (listener: (event: WorkerEvent) => void) => () => void;
}

export function createPushClient(options: PushClientOptions): PushClient {
  const { registration, apiUrl } = options;
  const command = async <T>(message: Command): Promise<Outcome<T>> => {
    const reply = await send(await waitUntilActive(registration), message);
    return reply.isOk ? { isOk: true, value: reply.value as T } : reply; // as the worker's command answers
  };
  return {
    signIn: async (accessToken, userId) => {
      const session: Session = { apiUrl, accessToken, userId };
      const signedIn = await command<void>({ type: "signIn", session });
      return signedIn.isOk ? command({ type: "catchUp" }) : signedIn;
    },
    signOut: async () => {
      const signedOut = await command<void>({ type: "signOut" });
      await (await toPushManager(options)?.getSubscription())?.unsubscribe();
      return signedOut;
    },
    subscribe: async () => subscribe(options, (device) => command({ type: "register", device })),
    register: (device) => command({ type: "register", device }),
    catchUp: () => command({ type: "catchUp" }),
    fetch: (id) => command({ type: "fetch", id }),
    markRead: (id) => command({ type: "markRead", id }),
    remove: (id) => command({ type: "delete", id }),
    onEvent: (listener) => {
      const onMessage = ({ data }: MessageEvent<Partial<WorkerMessage> | null>) => {
        if (data?.from !== "secure-push" || data.scope !== registration.scope) return;
        if (data.event !== undefined) listener(data.event);
      };
      navigator.serviceWorker.addEventListener("message", onMessage);
      navigator.serviceWorker.startMessages();
      return () => navigator.serviceWorker.removeEventListener("message", onMessage);
    },
  };
}

function toPushManager({ pushManager, registration }: PushClientOptions): PushManagerLike | undefined {
  // Safari on iOS has it only in an app on the home screen.
  return pushManager ?? ("pushManager" in registration ? registration.pushManager : undefined);
}

async function subscribe(
  options: PushClientOptions,
  register: (device: DeviceRegistration) => Promise<Outcome<void>>,
): Promise<Subscribed> {
  const pushManager = toPushManager(options);
  if (pushManager === undefined) return { kind: "unsupported", needsHomeScreen: isIosOutsideHomeScreen() };
  // A replaced push manager shows nothing by itself, so it needs no permission.
  if (options.pushManager === undefined && (await Notification.requestPermission()) !== "granted")
    return { kind: "denied" };
  try {
    await waitUntilActive(options.registration);
    // The key is asked for each time: the service may have a new one.
    const vapidPublicKey = await fetchKey(options.apiUrl);
    if (vapidPublicKey === undefined) return { kind: "notServed" };
    const subscription = await ensureSubscription(pushManager, vapidPublicKey);
    const pushChannel = toChannel(subscription.toJSON());
    const registered = await register({ platform: "browser", pushChannel, vapidPublicKey });
    return registered.isOk ? { kind: "subscribed" } : { kind: "failed", failure: registered.failure };
  } catch {
    return { kind: "failed", failure: { reason: "offline" } };
  }
}

/** A subscription made under another key is of no use: its push service would refuse ours. */
async function ensureSubscription(pushManager: PushManagerLike, key: string): Promise<SubscriptionLike> {
  const existing = await pushManager.getSubscription();
  if (existing !== null) {
    const existingKey = existing.options.applicationServerKey;
    if (existingKey !== null && toBase64Url(existingKey) === key) return existing;
    await existing.unsubscribe();
  }
  return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

async function fetchKey(apiUrl: string): Promise<string | undefined> {
  const response = await fetch(`${apiUrl}/push-config`, {
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(10_000),
  });
  if (!response.ok) throw new Error(`push-config answered ${response.status}`);
  const config: unknown = await response.json();
  return typeof config === "object" && config !== null && "vapidPublicKey" in config
    ? String(config.vapidPublicKey)
    : undefined;
}

/** `toJSON()` nests the keys, and has an expiration time; the service takes neither. */
function toChannel({ endpoint, keys }: PushSubscriptionJSON): BrowserChannel {
  const { p256dh, auth } = keys ?? {};
  if (endpoint === undefined || p256dh === undefined || auth === undefined)
    throw new Error("the browser gave a subscription without keys");
  return { endpoint, p256dh, auth };
}

function toBase64Url(bytes: ArrayBuffer): string {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function isIosOutsideHomeScreen(): boolean {
  // iPadOS calls itself a Mac, but no Mac has a touch screen.
  const isIos =
    /iPhone|iPad|iPod/.test(navigator.userAgent) ||
    (navigator.userAgent.includes("Macintosh") && navigator.maxTouchPoints > 1);
  return isIos && !matchMedia("(display-mode: standalone)").matches;
}

/**
 * Like `navigator.serviceWorker.ready`, but for this registration, whether it controls the page or not.
 * @throws Error when the worker's installation fails.
 */
function waitUntilActive(registration: ServiceWorkerRegistration): Promise<ServiceWorker> {
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  if (worker === null) return Promise.reject(new Error("the service worker is not registered"));
  return new Promise((resolve, reject) => {
    const check = () => {
      if (worker.state === "activated") resolve(worker);
      else if (worker.state === "redundant") reject(new Error("the service worker could not be installed"));
    };
    worker.addEventListener("statechange", check);
    check();
  });
}

function send(worker: ServiceWorker, command: Command): Promise<Reply> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      port1.close();
      resolve(data);
    });
    port1.start();
    worker.postMessage(command, [port2]);
  });
}
