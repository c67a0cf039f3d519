// The route table: method, path, caller, time limit and query parameters of every HTTP function. main.ts registers the functions
// from it before the handlers are loaded, so it imports nothing. The handlers are in routes.ts.

export interface RouteEntry {
  /** The Functions host answers 404 to any other method. */
  readonly methods: readonly ("GET" | "HEAD" | "PUT" | "POST" | "DELETE")[];
  /** After the `api` prefix, with `{parameters}`. */
  readonly path: string;
  /** The answer is given within this time, whatever happens, once the handlers are loaded. */
  readonly timeoutMs: number;
  /** Who may call. */
  readonly caller: "device" | "sender" | "anyone";
  /** The query parameters that the route knows. */
  readonly query?: readonly string[];
}

/** By the function's name in Azure, which is the name of its file. */
export const ROUTES = {
  sendSecure: { methods: ["POST"], path: "notifications", timeoutMs: 10_000, caller: "sender" },
  getReceipts: { methods: ["POST"], path: "receipts", timeoutMs: 10_000, caller: "sender" },
  eraseRecipient: { methods: ["POST"], path: "recipients/erase", timeoutMs: 10_000, caller: "sender" },
  getNotification: { methods: ["GET"], path: "notifications/{id}", timeoutMs: 5_000, caller: "device" },
  listNotifications: {
    methods: ["GET"],
    path: "notifications",
    timeoutMs: 5_000,
    caller: "device",
    query: ["unread", "limit", "cursor"],
  },
  markRead: { methods: ["PUT"], path: "notifications/{id}/read", timeoutMs: 10_000, caller: "device" },
  deleteNotification: {
    methods: ["DELETE"],
    path: "notifications/{id}",
    timeoutMs: 10_000,
    caller: "device",
  },
  registerInstallation: {
    methods: ["PUT"],
    path: "installations/{installationId}",
    timeoutMs: 10_000,
    caller: "device",
  },
  removeInstallation: {
    methods: ["DELETE"],
    path: "installations/{installationId}",
    timeoutMs: 10_000,
    caller: "device",
  },
  getPushConfig: { methods: ["GET", "HEAD"], path: "push-config", timeoutMs: 5_000, caller: "anyone" },
  health: { methods: ["GET", "HEAD"], path: "health", timeoutMs: 5_000, caller: "anyone" },
  getOpenApi: { methods: ["GET", "HEAD"], path: "openapi.json", timeoutMs: 5_000, caller: "anyone" },
} as const satisfies Readonly<Record<string, RouteEntry>>;

export type RouteName = keyof typeof ROUTES;
export const ROUTE_NAMES = Object.keys(ROUTES) as readonly RouteName[];

/** The timer functions; `schedules` of the settings says when each runs. */
export const TIMERS = ["redeliverPushes", "dropExpired"] as const;
export type TimerName = (typeof TIMERS)[number];
