// The devices of the story while `npm start` serves: each fetches every notification that it is woken up for.
import { type SimulatedDevice, USER } from "./devices.ts";
import type { Stack } from "./stack.ts";

const MAX_SHOWN_CHARACTERS = 300;

/** Lets the devices fetch until `close`. Each result is one text for `say`. */
export function runDevices(
  stack: Stack,
  devices: readonly SimulatedDevice[],
  say: (text: string) => void,
): { readonly close: () => void } {
  const ended = new AbortController();
  for (const device of devices)
    run(stack, device, ended.signal, say).catch((error: unknown) => {
      if (!ended.signal.aborted) say(`${device.name}: ${error instanceof Error ? error.message : "failed"}`);
    });
  return { close: () => ended.abort() };
}

async function run(
  { host, issuer }: Stack,
  { name, next }: SimulatedDevice,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<void> {
  while (!signal.aborted) {
    const { id } = await next(signal);
    const response = await fetch(`${host.url}/api/notifications/${id}`, {
      headers: { authorization: `Bearer ${await issuer.buildUserToken(USER)}` },
      signal,
    });
    say(`${name} woke up with ${id} and fetched: ${shorten(await response.text())}`);
  }
}

function shorten(text: string): string {
  return text.length <= MAX_SHOWN_CHARACTERS
    ? text
    : `${text.slice(0, MAX_SHOWN_CHARACTERS)} … (${text.length} characters)`;
}
