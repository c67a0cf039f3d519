// Backing off: whether a destination is asked now. A destination is a sender, or one push service of a sender that speaks
// to many (its origin). A refusal delays the target that it answered; only refusals that speak for the whole destination
// close its gate. No I/O.
import type { Clock } from "../base/clock.ts";
import { isTemporary } from "../push/outcome.ts";
import { CUT_OFF, type DirectoryOutcome, type PushOutcome, type Sender } from "../push/sender.ts";
import type { Senders } from "../push/senders.ts";

/** What a gate is for. `device` tells devices of one destination apart. */
export interface Destination {
  readonly name: string;
  /** One of many destinations of its sender: then one refusal says nothing about the others' devices. */
  readonly isOneOfMany: boolean;
}

export interface Gates {
  /** For how long nothing is to be asked of it; `undefined`: it may be asked now. */
  readonly closedForSeconds: (destination: Destination) => number | undefined;
  readonly note: (destination: Destination, device: string, outcome: PushOutcome | DirectoryOutcome) => void;
  /** Pauses that other instances should know of since this was last asked. */
  readonly takePauses: () => ReadonlyMap<string, Date>;
}

interface Gate {
  until?: Date;
  /** Devices refused in a row, each once. */
  readonly refused: Set<string>;
  refusals: number;
  /** Closures in a row without an answer between them: each doubles the wait for the next probe. */
  closures: number;
}

/** So many refusals in a row, or refused devices of one destination of many, close a gate. */
const REFUSALS = 3;
const FIRST_PROBE_MS = 5_000;
const MAX_PROBE_MS = 30_000;
const CREDENTIALS_MS = 30_000;

/** @param pauses Destinations that are known to be paused, by name. */
export function createGates(clock: Clock, pauses: ReadonlyMap<string, Date> = new Map()): Gates {
  const gates = new Map<string, Gate>();
  let unstored = new Map<string, Date>();
  const gateOf = (name: string): Gate => {
    const until = pauses.get(name);
    const gate = gates.get(name) ?? { ...(until && { until }), refused: new Set(), refusals: 0, closures: 0 };
    gates.set(name, gate);
    return gate;
  };
  return {
    closedForSeconds: ({ name }) => {
      const leftMs = (gateOf(name).until?.getTime() ?? 0) - clock.now().getTime();
      return leftMs > 0 ? Math.ceil(leftMs / 1000) : undefined;
    },
    note: (destination, device, outcome) => {
      const gate = gateOf(destination.name);
      const closedMs = toClosedMs(gate, destination, device, outcome);
      if (closedMs === undefined) return;
      const until = new Date(clock.now().getTime() + closedMs);
      if (gate.until === undefined || gate.until < until) gate.until = until;
      if (outcome.kind === "throttled") unstored.set(destination.name, until);
    },
    takePauses: () => {
      const taken = unstored;
      unstored = new Map();
      return taken;
    },
  };
}

/** The gate that a sender's pushes to one device pass. */
export function toDestination(sender: Sender, channelDestination: string | undefined): Destination {
  return channelDestination === undefined
    ? { name: sender.name, isOneOfMany: false }
    : { name: `${sender.name} ${channelDestination}`, isOneOfMany: true };
}

/** The gate of the directory, if a sender has one: a service that refuses registrations may still take pushes. */
export function toDirectoryDestination(senders: Senders): Destination | undefined {
  const sender = senders.all.find(({ directory }) => directory !== undefined);
  return sender && { name: `${sender.name} directory`, isOneOfMany: false };
}

/** For how long an outcome closes the gate. A time limit of ours is no evidence against the other side. */
function toClosedMs(
  gate: Gate,
  { isOneOfMany }: Destination,
  device: string,
  outcome: PushOutcome | DirectoryOutcome,
): number | undefined {
  if (outcome.kind === "transient" && outcome.cause === CUT_OFF) return undefined;
  if (outcome.kind === "throttled" && outcome.isDeviceOnly === true) return undefined;
  if (!isTemporary(outcome)) {
    gate.refused.clear();
    gate.refusals = 0;
    gate.closures = 0;
    return undefined;
  }
  gate.refused.add(device);
  gate.refusals++;
  const isWhole = isOneOfMany
    ? gate.refused.size >= REFUSALS
    : outcome.kind !== "transient" || outcome.cause === "status 503" || gate.refusals >= REFUSALS;
  if (!isWhole) return undefined;
  gate.refused.clear();
  gate.refusals = 0;
  if (outcome.kind === "throttled") return outcome.retryAfterSeconds * 1000;
  if (outcome.kind === "credentials") return CREDENTIALS_MS;
  return Math.min(MAX_PROBE_MS, FIRST_PROBE_MS * 2 ** Math.min(gate.closures++, 10));
}
