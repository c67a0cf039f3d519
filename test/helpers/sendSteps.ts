// The steps of one sendSecure call, by the requests that it makes of store and hub, in their order; and what becomes of
// the notification.
import type { ProxiedRequest } from "./faultProxy.ts";

export interface SendStep {
  readonly name: string;
  readonly to: "store" | "hub";
  readonly isIt: (request: ProxiedRequest) => boolean;
}

const inStore = (name: string, wanted: string, table: string): SendStep => ({
  name,
  to: "store",
  isIt: ({ method, path }) => method === wanted && path.includes(table),
});

/** A transaction of the outbox whose first operation, on the row itself, is this one. */
const inOutbox = (name: string, wanted: string): SendStep => ({
  name,
  to: "store",
  isIt: ({ path, body }) => path.includes("$batch") && /^(POST|PUT|DELETE) /m.exec(body)?.[1] === wanted,
});

/** Of a call with a key, to a recipient with a device and to one without, where tables and keys exist already. */
export const SEND_STEPS: readonly SendStep[] = [
  inStore("the key is claimed", "POST", "idempotency"),
  inStore("yesterday's keys are read", "GET", "idempotency"),
  inOutbox("the outbox row is written", "POST"),
  inStore("the devices are listed", "GET", "installations"),
  inStore("the payloads are written", "POST", "notifications20"),
  { name: "the ID is pushed", to: "hub", isIt: ({ path }) => path.includes("/messages") },
  inStore("the outcome is marked", "PATCH", "notifications20"),
  inOutbox("the outbox row is deleted", "DELETE"),
];

/** A row of a Markdown table that begins with this cell, without it; nothing where there is none. */
export function findRow(markdown: string, first: string): readonly string[] | undefined {
  const rows = markdown.split("\n").map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return rows.find(([cell]) => cell === first)?.slice(1);
}
