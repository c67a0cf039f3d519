// The app's service worker, `/sw.js`.
import { servePushes } from "./serviceWorker.ts";

declare const self: ServiceWorkerGlobalScope;

servePushes(self, {
  genericText: { title: "You have a new message", body: "Open the app to read it." },
  // Whatever your back end sends: here an object with a text.
  toText: (payload) => ({ title: "New result", body: (payload as { readonly text: string }).text }),
});
