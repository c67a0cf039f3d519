// The page's own server: it holds the back end's key and the push networks. I/O: HTTP to the page's origin.
import type { SignInOptions } from "../../../clients/web/page/signIn.ts";
import type { Travelled } from "./model.ts";

export interface Settings {
  readonly apiUrl: string;
  readonly signIn: SignInOptions;
  readonly isWebPushServed: boolean;
  readonly isNetworkAway: boolean;
}

/** As the server's `NetworkEvent`. */
export type NetworkEvent =
  | { readonly type: "travelled"; readonly travelled: Travelled }
  | { readonly type: "pushed"; readonly deviceId: string; readonly text: string }
  | { readonly type: "refused"; readonly network: string }
  | { readonly type: "switched"; readonly isAway: boolean };

export async function getSettings(): Promise<Settings> {
  const response = await fetch("/settings");
  return (await response.json()) as Settings; // our own server's
}

/** @throws Error with the refusal's title and detail. */
export async function post<T>(path: string, body: object): Promise<T> {
  const response = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  const answer: unknown = await response.json();
  if (response.ok) return answer as T; // our own server's
  const { title, detail } = answer as { readonly title?: string; readonly detail?: string };
  throw new Error([title ?? `The server answered ${response.status}`, detail].filter(Boolean).join(": "));
}

export function listen(onEvent: (event: NetworkEvent) => void): void {
  new EventSource("/events").addEventListener("message", ({ data }) =>
    onEvent(JSON.parse(String(data)) as NetworkEvent),
  );
}
