// The service worker of the page's devices: the client of clients/web, and a way in for the simulated push service.
import { type PushWorkerOptions, servePushes } from "../../../clients/web/worker/serviceWorker.ts";

declare const self: ServiceWorkerGlobalScope;

const options: PushWorkerOptions = {
  genericText: { title: "You have a new message", body: "Open the app to read it." },
  toText: (payload) => ({ title: "Secure push", body: toText(payload) }),
  openUrl: "/",
};

const { handlePush } = servePushes(self, options);

self.addEventListener("install", () => void self.skipWaiting());

// The browser's own push service is on the Internet; the local one reaches the worker through the page.
self.addEventListener("message", (event) => {
  const data = event.data as { readonly type?: unknown; readonly text?: unknown } | null;
  if (data?.type === "simulatedPush" && typeof data.text === "string") event.waitUntil(handlePush(data.text));
});

function toText(payload: unknown): string {
  if (typeof payload === "object" && payload !== null && "text" in payload) return String(payload.text);
  return typeof payload === "string" ? payload : JSON.stringify(payload);
}
