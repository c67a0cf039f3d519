// One Chromium for all browser tests. Where there is none, the tests are skipped, and a line says so.
import { type Browser, type CDPSession, chromium } from "playwright-core";
import { isExecutable } from "../../local/executable.ts";
import type { Stack } from "../../local/stack.ts";

/** What all browser tests share. */
export interface Running {
  readonly stack: Stack;
  readonly browser: Browser;
}

const CANDIDATES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The browser's path; nothing where no browser is installed. */
export const executablePath = CANDIDATES.find(isExecutable);
if (executablePath === undefined)
  console.warn("Browser tests are skipped: no Chromium in /usr/bin (Debian: apt-get install chromium).");

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts it with a new profile. Only for tests that `executablePath` does not skip. */
export function launch(): Promise<Browser> {
  if (executablePath === undefined) throw new Error("no browser");
  return chromium.launch({ executablePath, args: ARGUMENTS });
}

/** The DevTools protocol's own id of a registration. */
export async function findRegistration(protocol: CDPSession, path: string): Promise<string> {
  const found = new Promise<string>((resolve) => {
    protocol.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
      for (const { registrationId, scopeURL } of registrations)
        if (new URL(scopeURL).pathname === path) resolve(registrationId);
    });
  });
  await protocol.send("ServiceWorker.enable");
  return found;
}

/** Deletes the newest notifications of a user: a device that signs in shows what it missed. */
export async function deleteAll(stack: Stack, userId: string): Promise<void> {
  const headers = { authorization: `Bearer ${await stack.issuer.buildUserToken(userId)}` };
  const url = `${stack.host.url}/api/notifications`;
  const list = (await (await fetch(url, { headers })).json()) as {
    notifications: readonly { id: string }[];
  };
  for (const { id } of list.notifications) await fetch(`${url}/${id}`, { method: "DELETE", headers });
}
