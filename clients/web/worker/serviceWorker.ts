// The service worker's half of the client: a push brings an ID, the worker fetches the payload with the stored token and
// shows it. Import it into the app's service worker and call `servePushes` once, at the top level.
// I/O: HTTPS to the service, IndexedDB, notifications.
import type {
  Command,
  DeviceRegistration,
  Failure,
  StoredNotification,
  Reply,
  Session,
  WorkerEvent,
  WorkerMessage,
} from "../messages.ts";
import { type Answer, callApi, isTemporary, parseJson, readText, type Request } from "./api.ts";
import { createState, type State } from "./state.ts";

export interface PushWorkerOptions {
  /** Shown where the payload cannot be fetched. It must reveal nothing. */
  readonly genericText: NotificationText;
  /** Makes the text of a notification from its payload. Where it throws, the generic text is shown. */
  readonly toText: (payload: unknown) => NotificationText;
  /** What a click on a notification opens, unless a page of the app is open. Default: the worker's scope. */
  readonly openUrl?: string;
  /** Default: one for each scope. */
  readonly databaseName?: string;
}

export interface NotificationText {
  readonly title: string;
  readonly body: string;
}

export interface PushWorker {
  /** Handles the text of a push message. `servePushes` calls it for each push; it does not throw. */
  readonly handlePush: (text: string) => Promise<void>;
}

interface Worker {
  readonly scope: ServiceWorkerGlobalScope;
  readonly options: PushWorkerOptions;
  readonly state: State;
  /** IDs that are being fetched now: a push may be repeated before the first one is shown. */
  readonly inProgress: Set<string>;
}

const FETCH_ATTEMPTS = 3;
const RETRY_DELAY_MS = 1_000;
/** How many missed notifications are shown at once. */
const MAX_CATCH_UP = 20;

export function servePushes(scope: ServiceWorkerGlobalScope, options: PushWorkerOptions): PushWorker {
  const databaseName = options.databaseName ?? `secure-push ${scope.registration.scope}`;
  const worker: Worker = { scope, options, state: createState(databaseName), inProgress: new Set() };
  const handle = (text: string) => handlePush(worker, text);
  scope.addEventListener("push", (event) => event.waitUntil(handle(event.data?.text() ?? "")));
  scope.addEventListener("pushsubscriptionchange", (event) => {
    // The DOM library has a plain event here; the specification gives it `waitUntil` and the new subscription.
    const change = event as ExtendableEvent & { readonly newSubscription?: PushSubscription | null };
    change.waitUntil(renewSubscription(worker, change.newSubscription ?? undefined));
  });
  scope.addEventListener("notificationclick", (event) => {
    event.notification.close();
    event.waitUntil(openApp(worker));
  });
  scope.addEventListener("message", (event) => {
    const [port] = event.ports;
    if (!isCommand(event.data) || port === undefined) return;
    event.waitUntil(runCommand(worker, event.data).then((reply) => port.postMessage(reply)));
  });
  return { handlePush: handle };
}

// A push

async function handlePush(worker: Worker, text: string): Promise<void> {
  const id = readText(parseJson(text), "secureId");
  await report(worker, { type: "woken", id });
  if (id === undefined) return showGeneric(worker, undefined, { reason: "push_unreadable" });
  const wasMissed = await worker.state.hasMissed();
  const shown = await fetchAndShow(worker, id);
  // What an earlier push could not fetch may be there now.
  if (shown && wasMissed) await catchUp(worker);
}

/** Answers whether the service answered; shows the payload, or else the generic text. */
async function fetchAndShow(worker: Worker, id: string): Promise<boolean> {
  const { state, inProgress } = worker;
  if (inProgress.has(id) || (await state.hasSeen(id))) {
    await report(worker, { type: "repeated", id });
    return true;
  }
  inProgress.add(id);
  try {
    const answer = await fetchWithRetries(worker, `notifications/${encodeURIComponent(id)}`);
    if (answer.isOk && isNotification(answer.body)) {
      await show(worker, id, toTextOrGeneric(worker.options, answer.body.payload));
      await state.addSeen(id);
      await report(worker, { type: "shown", notification: answer.body });
      return true;
    }
    const failure = answer.isOk ? { reason: "answer_unreadable" } : answer.failure;
    // A notification that is gone stays gone; anything else can be fetched after sign-in, or with a network.
    if (failure.status !== 404) await state.setMissed(true);
    await showGeneric(worker, id, failure);
    return failure.status === 404;
  } finally {
    inProgress.delete(id);
  }
}

/** What the app cannot read (a later version's payload, say) is no reason to show nothing. */
function toTextOrGeneric({ toText, genericText }: PushWorkerOptions, payload: unknown): NotificationText {
  try {
    return toText(payload);
  } catch {
    return genericText;
  }
}

async function fetchWithRetries({ state }: Worker, path: string): Promise<Answer> {
  const session = await state.readSession();
  for (let attempt = 1; ; attempt++) {
    const answer = await callApi(session, { method: "GET", path });
    if (answer.isOk || !isTemporary(answer.failure) || attempt === FETCH_ATTEMPTS) return answer;
    await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY_MS));
  }
}

/** Browsers ask that each push shows something, so this is shown even if the notification is gone. */
async function showGeneric(worker: Worker, id: string | undefined, failure: Failure): Promise<void> {
  await show(worker, id ?? "secure-push", worker.options.genericText);
  await report(worker, { type: "generic", id, failure });
}

/** The ID is the tag: what is shown later for the same ID replaces what is shown now. */
async function show({ scope }: Worker, tag: string, { title, body }: NotificationText): Promise<void> {
  // Without the user's permission nothing can be shown; pages still hear of the event.
  await scope.registration.showNotification(title, { body, tag, data: { id: tag } }).catch(() => undefined);
}

/** Fetches and shows what was missed: the newest unread notifications that this device has not shown. */
async function catchUp(worker: Worker): Promise<Answer> {
  const { state } = worker;
  const path = `notifications?unread=true&limit=${MAX_CATCH_UP}`;
  const answer = await callApi(await state.readSession(), { method: "GET", path });
  if (!answer.isOk) return answer;
  await state.setMissed(false);
  // The oldest first, so that the newest is on top of the screen.
  for (const id of readIds(answer.body).toReversed())
    if (!(await state.hasSeen(id))) await fetchAndShow(worker, id);
  return answer;
}

function readIds(list: unknown): readonly string[] {
  if (typeof list !== "object" || list === null || !("notifications" in list)) return [];
  const { notifications } = list;
  if (!Array.isArray(notifications)) return [];
  return notifications.map((item: unknown) => readText(item, "id")).filter((id) => id !== undefined);
}

function isNotification(body: unknown): body is StoredNotification {
  return readText(body, "id") !== undefined && typeof body === "object" && body !== null && "payload" in body;
}

async function openApp({ scope, options }: Worker): Promise<void> {
  const url = new URL(options.openUrl ?? scope.registration.scope, scope.location.href).href;
  const windows = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
  const open = windows.find((client) => client.url.startsWith(url));
  await (open === undefined ? scope.clients.openWindow(url) : open.focus());
}

// The subscription

/**
 * The browser has replaced the subscription, or has dropped it. Subscribes again if need be, and registers. Without a
 * valid token the registration fails; then the page registers when it is next opened.
 */
async function renewSubscription(worker: Worker, given: PushSubscription | undefined): Promise<void> {
  const session = await worker.state.readSession();
  if (session === undefined) return;
  const config = await callApi(session, { method: "GET", path: "push-config" });
  const key = config.isOk ? readText(config.body, "vapidPublicKey") : undefined;
  if (key === undefined) return;
  const { pushManager } = worker.scope.registration;
  const subscription =
    given ?? (await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
  const { endpoint, keys } = subscription.toJSON();
  const { p256dh, auth } = keys ?? {};
  if (endpoint === undefined || p256dh === undefined || auth === undefined) return;
  const pushChannel = { endpoint, p256dh, auth };
  await register(worker, { platform: "browser", pushChannel, vapidPublicKey: key });
}

/** Registers this device for whoever is signed in; its id is made once. */
async function register({ state }: Worker, registration: DeviceRegistration): Promise<Answer> {
  const installationId = (await state.readDevice())?.installationId ?? crypto.randomUUID();
  await state.writeDevice({ installationId, registration });
  const path = `installations/${installationId}`;
  return callApi(await state.readSession(), { method: "PUT", path, body: registration });
}

// Commands of the page

async function runCommand(worker: Worker, command: Command): Promise<Reply> {
  const { state } = worker;
  switch (command.type) {
    case "signIn":
      return signIn(worker, command.session);
    case "signOut":
      return signOut(worker);
    case "register":
      return toReply(await register(worker, command.device));
    case "catchUp":
      return toReply(await catchUp(worker));
    default: {
      const session = await state.readSession();
      return toReply(await callApi(session, toRequest(command.type, command.id)));
    }
  }
}

function toRequest(type: "fetch" | "markRead" | "delete", id: string): Request {
  const path = `notifications/${encodeURIComponent(id)}`;
  if (type === "fetch") return { method: "GET", path };
  return type === "delete" ? { method: "DELETE", path } : { method: "PUT", path: `${path}/read` };
}

async function signIn(worker: Worker, session: Session): Promise<Reply> {
  const previous = await worker.state.readSession();
  if (previous !== undefined && previous.userId !== session.userId) await forgetUser(worker);
  await worker.state.writeSession(session);
  return { isOk: true, value: undefined };
}

/** Forgets the user in any case, also if the service cannot be reached: then the answer says so. */
async function signOut(worker: Worker): Promise<Reply> {
  const device = await worker.state.readDevice();
  const answer =
    device === undefined
      ? undefined
      : await callApi(await worker.state.readSession(), {
          method: "DELETE",
          path: `installations/${device.installationId}`,
        });
  await forgetUser(worker);
  return answer === undefined ? { isOk: true, value: undefined } : toReply(answer);
}

async function forgetUser({ scope, state }: Worker): Promise<void> {
  await state.clear();
  for (const notification of await scope.registration.getNotifications()) notification.close();
}

function toReply(answer: Answer): Reply {
  return answer.isOk ? { isOk: true, value: answer.body } : answer;
}

const COMMANDS: ReadonlySet<string> = new Set([
  "signIn",
  "signOut",
  "register",
  "catchUp",
  "fetch",
  "markRead",
  "delete",
] satisfies readonly Command["type"][]);

/** Only pages of the app's own origin can send a message to its worker. */
function isCommand(data: unknown): data is Command {
  return COMMANDS.has(readText(data, "type") ?? "");
}

/** Tells every page of the origin what happened. */
async function report({ scope }: Worker, event: WorkerEvent): Promise<void> {
  const message: WorkerMessage = { from: "secure-push", scope: scope.registration.scope, event };
  const windows = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const client of windows) client.postMessage(message, []);
}
