// An app that uses the client. Its page has three elements: buttons `sign-in` and `subscribe`, and a text `status`.
import { createPushClient } from "./page.ts";
import { completeSignIn, type SignInOptions, startSignIn } from "./signIn.ts";

/** Written by whoever deploys the app. */
interface AppSettings {
  /** `https://APP.azurewebsites.net/api`; its CORS settings name the app's origin. */
  readonly apiUrl: string;
  readonly signIn: SignInOptions;
}

const settings = (await (await fetch("/settings.json")).json()) as AppSettings;
const registration = await navigator.serviceWorker.register("/sw.js");
const push = createPushClient({ registration, apiUrl: settings.apiUrl });

const say = (text: string) => {
  const status = document.getElementById("status");
  if (status !== null) status.textContent = text;
};

push.onEvent((event) => {
  if (event.type === "shown") say(`Received: ${JSON.stringify(event.notification.payload)}`);
});

document.getElementById("sign-in")?.addEventListener("click", () => void startSignIn(settings.signIn));

// The browser asks the user for the permission only in answer to a click.
document.getElementById("subscribe")?.addEventListener("click", () => void subscribe());

const signedIn = await completeSignIn(settings.signIn);
if (signedIn !== undefined) {
  // From here on the worker has the token, and the page forgets it.
  await push.signIn(signedIn.accessToken, signedIn.userId);
  say(`Signed in as ${signedIn.userId}`);
}

// At each start: renew the registration if there is the permission, and show what was missed.
if ("Notification" in globalThis && Notification.permission === "granted") await subscribe();
await push.catchUp();

async function subscribe(): Promise<void> {
  const result = await push.subscribe();
  switch (result.kind) {
    case "subscribed":
      return say("Pushes come to this browser.");
    case "unsupported":
      return say(
        result.needsHomeScreen
          ? "Add this app to the home screen first: Share, then Add to Home Screen."
          : "This browser has no pushes.",
      );
    case "denied":
      return say("Allow notifications for this site in the browser's settings.");
    case "notServed":
      return say("The service does not serve browsers.");
    case "failed":
      return say(`It failed (${result.failure.reason}). Try again later.`);
  }
}
