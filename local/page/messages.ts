// What the page and its server send to each other. Types only: both sides import them.
import type { Receipts, Sent } from "../../clients/sender/types.ts";

/** The answer to GET /settings. */
export interface Settings {
  readonly apiUrl: string;
  readonly signIn: {
    readonly issuer: string;
    readonly clientId: string;
    readonly redirectUri: string;
    readonly scope: string;
  };
  readonly isWebPushServed: boolean;
  readonly isNetworkAway: boolean;
}

/** One server-sent event of GET /events. */
export type NetworkEvent =
  | { readonly type: "travelled"; readonly travelled: Travelled }
  /** A push to a device of the page: `text` is what its push service hands to the app. */
  | { readonly type: "pushed"; readonly deviceId: string; readonly text: string }
  | { readonly type: "refused"; readonly network: Network }
  | { readonly type: "switched"; readonly isAway: boolean };

type Network = "Notification Hub" | "Web Push";

/** One request of the service to a push network, as its bytes came in. */
export interface Travelled {
  readonly network: Network;
  readonly request: string;
  /** As text, or in hexadecimal where it is encrypted. */
  readonly body: string;
  readonly isEncrypted: boolean;
  /** What the device's push service hands to the app. */
  readonly text: string;
}

/** The answers to POST, by path. requests.ts has the bodies. */
export interface Answers {
  readonly "/send": Sent;
  readonly "/receipts": Receipts;
  readonly "/stored": { readonly rows: readonly StoredRow[] };
  readonly "/network": object;
  readonly "/devices": PageDevice;
  readonly "/expired-token": { readonly accessToken: string };
}

/** A row of Table Storage. */
export interface StoredRow {
  readonly table: string;
  /** Name and value of each column; binary values in hexadecimal. */
  readonly columns: readonly (readonly [name: string, value: string])[];
}

/** A device's platform and push channel, as registerInstallation takes them. */
export type PageDevice =
  | { readonly platform: "apns"; readonly pushChannel: string }
  | {
      readonly platform: "browser";
      readonly pushChannel: { readonly endpoint: string; readonly p256dh: string; readonly auth: string };
    };
