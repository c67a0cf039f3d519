// The story that `npm start` plays once: one notification, from the back end that sends it to the devices that show it.
// Each step is explained and checked.
import { type ReceivedPush, type SimulatedDevice, USER } from "./devices.ts";
import { wrap } from "./columns.ts";
import type { Stack } from "./stack.ts";
import { findRows } from "./storedRows.ts";

export interface StoryOptions {
  readonly stack: Stack;
  readonly devices: readonly SimulatedDevice[];
  readonly write: (line: string) => void;
}

export interface Story {
  /** Whether every step succeeded. */
  readonly isTrue: boolean;
  /** The notification's ID; absent if the story ended before it was sent. */
  readonly id?: string;
}

export const CONTENT = "Your test result is negative.";
const STRANGER = "mallory";
const STEP_TIMEOUT_MS = 20_000;

/** Plays the story on a running stack. A step that fails is reported and ends the story. */
export async function playStory({ stack, devices, write }: StoryOptions): Promise<Story> {
  const tell = createTeller(write);
  let id: string | undefined;
  try {
    const token = await stack.issuer.buildUserToken(USER);
    await register(stack, devices, token);
    const names = devices.map(({ name }) => name).join(" and ");
    tell("1. Registered", `${names} registered with the service, each with its push channel.`);
    id = await send(stack);
    await showStored(stack, id, tell);
    for (const device of devices) await showPush(device, id, tell);
    await fetchPayload(stack, id, { token, tell });
    await refuseStranger(stack, id, tell);
    return { isTrue: true, id };
  } catch (error) {
    tell("   FAILED", toText(error));
    return id === undefined ? { isTrue: false } : { isTrue: false, id };
  }
}

/** Writes a step: its name, and the explanation beside it. Code is broken after commas only. */
type Teller = (step: string, text: string, code?: readonly string[]) => void;

function createTeller(write: (line: string) => void): Teller {
  return (step, text, code = []) => {
    const first = step.padEnd(15);
    const codeFirst = " ".repeat(first.length);
    for (const line of wrap(text, { first })) write(line);
    for (const part of code) for (const line of wrap(part, { first: codeFirst, after: "," })) write(line);
  };
}

async function register(stack: Stack, devices: readonly SimulatedDevice[], token: string): Promise<void> {
  for (const { name, installationId, registration } of devices) {
    const answer = await call(`${stack.host.url}/api/installations/${installationId}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(registration),
    });
    check(answer.status === 201 || answer.status === 200, `the registration of ${name}`, answer);
  }
}

/** Sends the content as a back end does. Returns the notification's ID. */
async function send({ host, functionKey }: Stack): Promise<string> {
  const sent = await call(`${host.url}/api/notifications`, {
    method: "POST",
    headers: { "x-functions-key": functionKey, "content-type": "application/json" },
    body: JSON.stringify({ to: [USER], payload: { text: CONTENT } }),
  });
  check(sent.status === 201, "sendSecure", sent);
  const { id, push } = JSON.parse(sent.text) as { readonly id: string; readonly push: string };
  check(push === "accepted", "the push", sent);
  return id;
}

async function showStored({ azurite }: Stack, id: string, tell: Teller): Promise<void> {
  const stored = await readSealed(azurite.connectionString, id);
  check(stored !== undefined, "the row in Table Storage", "it is not there");
  check(stored?.bytes.includes(CONTENT) === false, "the encryption of the row", "it holds the content");
  tell(
    "2. Stored",
    `A back end called sendSecure with {"text":"${CONTENT}"}. The answer holds an ID. ` +
      "Table Storage holds the payload, encrypted:",
    [`ID     ${id}`, `table  ${stored?.table}`, `row    ${stored?.bytes.toString("base64").slice(0, 48)}…`],
  );
}

async function showPush(device: SimulatedDevice, id: string, tell: Teller): Promise<void> {
  const push = await nextOf(device, id);
  check(
    !device.carried().some((text) => text.includes(CONTENT)),
    `the pushes to ${device.name}`,
    "the content was in them",
  );
  tell("3. Pushed", `This is all that ${device.name} got over the push network. The content is not in it:`, [
    push.body,
    ...Object.entries(push.headers).map(([name, value]) => `${name}: ${value}`),
  ]);
  tell("4. Woke up", `The push woke ${device.name} up.`);
}

/** The push of this notification. Pushes of earlier starts, which are redelivered, are passed over. */
async function nextOf(device: SimulatedDevice, id: string): Promise<ReceivedPush> {
  const signal = AbortSignal.timeout(STEP_TIMEOUT_MS);
  for (;;) {
    const push = await device.next(signal);
    if (push.id === id) return push;
  }
}

async function fetchPayload(
  { host }: Stack,
  id: string,
  { token, tell }: { readonly token: string; readonly tell: Teller },
): Promise<void> {
  const fetched = await call(`${host.url}/api/notifications/${id}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  check(fetched.status === 200, "getNotification", fetched);
  const { payload } = JSON.parse(fetched.text) as { readonly payload: { readonly text: string } };
  tell("5. Fetched", `It called getNotification with ${USER}'s token: ${fetched.status}.`);
  check(payload.text === CONTENT, "the payload", "it is another text");
  tell("6. Shown", `"${payload.text}"`);
}

async function refuseStranger({ host, issuer }: Stack, id: string, tell: Teller): Promise<void> {
  const refused = await call(`${host.url}/api/notifications/${id}`, {
    headers: { authorization: `Bearer ${await issuer.buildUserToken(STRANGER)}` },
  });
  check(refused.status === 404, "the refusal of a stranger", refused);
  tell(
    "7. Refused",
    `${STRANGER} asked for the same ID with a token of her own: ${refused.status}, ` +
      "the same answer as for an ID that does not exist.",
  );
}

/** With the cause: an error of fetch() alone says only that it failed. */
function toText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${toText(error.cause)}`;
}

interface Sealed {
  readonly table: string;
  readonly bytes: Buffer;
}

async function readSealed(connectionString: string, id: string): Promise<Sealed | undefined> {
  for await (const { table, columns: row } of findRows(connectionString, id))
    if (row["sealed0"] instanceof Uint8Array) return { table, bytes: Buffer.from(row["sealed0"]) };
  return undefined;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function call(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(STEP_TIMEOUT_MS) });
  return { status: response.status, text: await response.text() };
}

/** @throws Error that names the step and what was seen instead. */
function check(isTrue: boolean, step: string, seen: Answer | string): void {
  if (isTrue) return;
  throw new Error(`${step}: ${typeof seen === "string" ? seen : `${seen.status} ${seen.text}`}`);
}
