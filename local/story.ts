// The story that `npm start` plays once: one notification from the back end that sends it to the screen that shows
// it, each step told in plain words and checked.
import { odata, TableClient, TableServiceClient } from "@azure/data-tables";
import { createDevice } from "./device.ts";
import type { ReceivedRequest } from "../packages/notification-hubs-emulator/emulator.ts";
import type { Stack } from "./stack.ts";

export interface StoryOptions {
  readonly stack: Stack;
  readonly write: (line: string) => void;
}

export interface Story {
  /** Whether every step held. */
  readonly isTrue: boolean;
  /** The notification told of; nothing where the story ended before it was sent. */
  readonly id?: string;
}

/** Who the story is about; her device stays in the hub. */
export const USER = "alice";
const STRANGER = "mallory";
const INSTALLATION = "alices-phone";
/** A device token as APNs gives them: hexadecimal. */
export const DEVICE_TOKEN = "a11ce0".padEnd(64, "0");
export const CONTENT = "Your test result is negative.";
const STEP_TIMEOUT_MS = 20_000;

/** Plays it against a running stack. A step that does not hold is told, and ends the story. */
export async function playStory({ stack, write }: StoryOptions): Promise<Story> {
  const { hub, host, issuer, functionKey } = stack;
  const device = createDevice({ hub, platform: "apns", pushChannel: DEVICE_TOKEN });
  let id: string | undefined;
  try {
    const token = await issuer.buildUserToken(USER);
    const registered = await call(`${host.url}/api/installations/${INSTALLATION}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ platform: "apns", pushChannel: DEVICE_TOKEN }),
    });
    expect(registered.status === 201 || registered.status === 200, `the phone's registration`, registered);
    write(`1. Registered  ${USER}'s phone told the service where its pushes may go.`);

    const before = hub.requests.length;
    const sent = await call(`${host.url}/api/notifications`, {
      method: "POST",
      headers: { "x-functions-key": functionKey, "content-type": "application/json" },
      body: JSON.stringify({ to: [USER], payload: { text: CONTENT } }),
    });
    expect(sent.status === 201, "sendSecure", sent);
    const answer = JSON.parse(sent.text) as { readonly id: string; readonly push: string };
    ({ id } = answer);
    expect(answer.push === "accepted", "the push", sent);
    const stored = await readSealed(stack.azurite.connectionString, id);
    expect(stored !== undefined, "the row in Table Storage", "it is not there");
    expect(stored?.bytes.includes(CONTENT) === false, "that the row is sealed", "it holds the content");
    write(`2. Stored      A back end called sendSecure with {"text":"${CONTENT}"}. The answer names its ID,`);
    write(`               ${id}, and Table Storage holds it sealed:`);
    write(`               ${stored?.table}, ${stored?.bytes.toString("base64").slice(0, 60)}…`);

    const { delivery, id: pushed } = await device.next(AbortSignal.timeout(STEP_TIMEOUT_MS));
    expect(pushed === id, "the ID that was pushed", pushed);
    const requests = hub.requests.slice(before);
    expect(!holds(requests, CONTENT), "that the push network saw no content", "it did");
    write(`3. Pushed      All that went over the push network; the content is not in it:`);
    write(`               ${delivery.body}`);
    for (const [name, value] of Object.entries(delivery.headers)) write(`               ${name}: ${value}`);
    write(`4. Woke        The phone was woken with the ID, and with a text that says nothing.`);

    const fetched = await call(`${host.url}/api/notifications/${pushed}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(fetched.status === 200, "getNotification", fetched);
    const { payload } = JSON.parse(fetched.text) as { readonly payload: { readonly text: string } };
    write(`5. Fetched     It asked getNotification with ${USER}'s token: ${fetched.status}.`);
    expect(payload.text === CONTENT, "the payload", "another text came back");
    write(`6. Shown       "${payload.text}"`);

    const stranger = await issuer.buildUserToken(STRANGER);
    const refused = await call(`${host.url}/api/notifications/${pushed}`, {
      headers: { authorization: `Bearer ${stranger}` },
    });
    expect(refused.status === 404, "that a stranger is refused", refused);
    write(
      `7. Refused     ${STRANGER} asked for the same ID with a token of her own: ${refused.status}, as if it`,
    );
    write(`               did not exist.`);
    return { isTrue: true, id };
  } catch (error) {
    write(`   FAILED      ${toText(error)}`);
    return id === undefined ? { isTrue: false } : { isTrue: false, id };
  } finally {
    device.close();
  }
}

/** With what lies under it: fetch alone says that it failed. */
function toText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${toText(error.cause)}`;
}

interface Sealed {
  readonly table: string;
  readonly bytes: Buffer;
}

/** What lies in storage for an ID, as whoever holds the account would see it. */
async function readSealed(connectionString: string, id: string): Promise<Sealed | undefined> {
  const options = { allowInsecureConnection: true };
  const service = TableServiceClient.fromConnectionString(connectionString, options);
  for await (const { name } of service.listTables()) {
    if (name?.startsWith("notifications") !== true) continue;
    const table = TableClient.fromConnectionString(connectionString, name, options);
    const rows = table.listEntities<{ readonly sealed0: Uint8Array }>({
      queryOptions: { filter: odata`RowKey eq ${id}` },
    });
    for await (const { sealed0 } of rows) return { table: name, bytes: Buffer.from(sealed0) };
  }
  return undefined;
}

interface Answered {
  readonly status: number;
  readonly text: string;
}

async function call(url: string, init: RequestInit): Promise<Answered> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(STEP_TIMEOUT_MS) });
  return { status: response.status, text: await response.text() };
}

function expect(holdsTrue: boolean, what: string, saw: Answered | string): void {
  if (holdsTrue) return;
  const seen = typeof saw === "string" ? saw : `${saw.status} ${saw.text}`;
  throw new Error(`${what}: ${seen}`);
}

/** Whether any byte of a request, its headers or its target holds the text (the tests look in more encodings). */
function holds(requests: readonly ReceivedRequest[], text: string): boolean {
  return requests.some(({ path, rawHeaders, body }) =>
    [path, ...rawHeaders, body.toString("utf8")].some((part) => part.includes(text)),
  );
}
