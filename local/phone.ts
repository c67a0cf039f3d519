// The phone of the story, as it goes on while `npm start` serves.
import { createDevice } from "./device.ts";
import type { Stack } from "./stack.ts";
import { DEVICE_TOKEN, USER } from "./story.ts";

const MAX_SHOWN_CHARACTERS = 300;

/** The phone goes on: it fetches whatever it is woken for, and shows it. */
export function servePhone(
  { hub, host, issuer }: Stack,
  say: (line: string) => void,
): { readonly close: () => void } {
  const phone = createDevice({ hub, platform: "apns", pushChannel: DEVICE_TOKEN });
  const ended = new AbortController();
  const run = async () => {
    while (!ended.signal.aborted) {
      const { id } = await phone.next(ended.signal);
      const response = await fetch(`${host.url}/api/notifications/${id}`, {
        headers: { authorization: `Bearer ${await issuer.buildUserToken(USER)}` },
        signal: ended.signal,
      });
      say(`${USER}'s phone woke with ${id} and fetched: ${shorten(await response.text())}`);
    }
  };
  run().catch((error: unknown) => {
    if (!ended.signal.aborted) say(`${USER}'s phone: ${error instanceof Error ? error.message : "failed"}`);
  });
  return {
    close: () => {
      ended.abort();
      phone.close();
    },
  };
}

function shorten(text: string): string {
  return text.length <= MAX_SHOWN_CHARACTERS
    ? text
    : `${text.slice(0, MAX_SHOWN_CHARACTERS)} … (${text.length} characters)`;
}
