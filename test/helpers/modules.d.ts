// Types of packages that bring none, as far as the tests use them.
declare module "http_ece" {
  import type { ECDH } from "node:crypto";
  const ece: {
    readonly decrypt: (
      body: Buffer,
      params: { readonly version: "aes128gcm"; readonly privateKey: ECDH; readonly authSecret: string },
    ) => Buffer;
  };
  export default ece;
}

declare module "web-push-testing/src/PushApiModel.js" {
  export class PushApiModel {
    subscribe(options: { readonly userVisibleOnly: "true"; readonly applicationServerKey: string }): Promise<{
      readonly clientHash: string;
      readonly keys: { readonly p256dh: string; readonly auth: string };
    }>;
    /** Rejects when it does not accept the message. */
    handleNotification(
      clientHash: string,
      headers: Readonly<Record<"encoding" | "authorization" | "ttl", string | undefined>>,
      body: Buffer,
    ): Promise<void>;
    getNotifications(options: { readonly clientHash: string }): { readonly messages: readonly string[] };
  }
}
