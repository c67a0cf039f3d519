// npm run vapid: makes a VAPID key for Web Push and prints where it goes. With the current VAPID_KEYS in the environment
// it prints the set with the new key in front (docs/web-push.md, "Rotation"). Writes no file.
import { parseVapidKeys } from "../shared/crypto/vapid.ts";
import { createVapidKey } from "./vapidKey.ts";

const { jwk, publicKey } = createVapidKey();
const previous = process.env["VAPID_KEYS"] ?? "";
const parsed = previous === "" ? undefined : parseVapidKeys(previous);
if (parsed?.ok === false) {
  console.error(`VAPID_KEYS: ${parsed.error}`);
  process.exitCode = 1;
} else {
  const { keys } =
    previous === "" ? { keys: [] } : (JSON.parse(previous) as { readonly keys: readonly object[] });
  // The setting alone goes to standard output, so that it can be piped to where it is kept.
  console.log(JSON.stringify({ keys: [jwk, ...keys] }));
  console.error(
    [
      "",
      "The line above is the setting VAPID_KEYS: a secret. Keep it in Key Vault (secret vapid-keys), or in",
      "local.settings.json for development. Set VAPID_SUBJECT too, for example mailto:push@your-domain.example.",
      `Browsers subscribe under this public key, which GET /api/push-config answers: ${publicKey}`,
      keys.length === 0
        ? "To rotate later: VAPID_KEYS=<the current value> npm run vapid (docs/web-push.md)."
        : `The set has ${keys.length + 1} keys, the newest first. Remove the oldest when no device uses it any more.`,
    ].join("\n"),
  );
}
