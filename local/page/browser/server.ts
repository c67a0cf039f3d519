// The page's own server: it holds the back end's key and the push networks. I/O: HTTP to the page's origin.
import type { Answers, NetworkEvent, Settings } from "../messages.ts";

export async function getSettings(): Promise<Settings> {
  const response = await fetch("/settings");
  return (await response.json()) as Settings; // our own server's
}

/** @throws Error with the refusal's title and detail. */
export async function post<Path extends keyof Answers>(path: Path, body: object): Promise<Answers[Path]> {
  const response = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  const answer: unknown = await response.json();
  if (response.ok) return answer as Answers[Path]; // our own server's
  const { title, detail } = answer as { readonly title?: string; readonly detail?: string };
  throw new Error([title ?? `The server answered ${response.status}`, detail].filter(Boolean).join(": "));
}

export function listen(onEvent: (event: NetworkEvent) => void): void {
  new EventSource("/events").addEventListener("message", ({ data }) =>
    onEvent(JSON.parse(String(data)) as NetworkEvent),
  );
}
