// getPushConfig: what a browser needs to subscribe (`pushManager.subscribe`).
import { answerJson, type Call, type Handled } from "./handler.ts";

export interface PushConfig {
  /** The application server key: a point on P-256, base64url (RFC 8292 §3.2). Absent where Web Push is not served. */
  readonly vapidPublicKey?: string;
}

export function getPushConfig(config: PushConfig): (call: Call) => Handled {
  return () => Promise.resolve(answerJson(200, config));
}
