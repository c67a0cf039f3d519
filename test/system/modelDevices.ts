// The devices of the model (model.test.ts): phones of the hub, and devices of a direct test sender at two destinations,
// each of which may be away or ask to wait, while a device may be gone. What has to have been pushed, and to whom.
import { expect } from "vitest";
import type { Api } from "../helpers/api.ts";
import { channelsOf } from "../helpers/pushes.ts";
import { accepted, createDirectSender, type TestSender, toDestination } from "../helpers/testSender.ts";

export const USERS = ["ann", "bob", "cy", "dee"] as const; // cy has no device
export type User = (typeof USERS)[number];
const HUB_USERS: readonly string[] = ["ann", "bob"];
/** As many as close a destination when they are refused in a row. */
const DIRECT_USERS = ["ann", "bob", "dee"] as const;
export const DESTINATIONS = ["north", "south"] as const;
export type Destination = (typeof DESTINATIONS)[number];
export const STATES = ["up", "away", "throttled"] as const;
export type State = (typeof STATES)[number];

const RETRY_AFTER_SECONDS = 120;
/** The longest back-off after that has passed too. */
export const LONG_SECONDS = RETRY_AFTER_SECONDS + 301;

/** A sending, as far as its pushes go. */
interface PushedSending {
  readonly to: readonly string[];
  readonly id?: string;
  /** The addresses of its recipients' direct devices when it was first tried. */
  readonly addresses: readonly string[];
  /** Nothing more is pushed to them. */
  readonly erased: ReadonlySet<string>;
  readonly deleted: ReadonlySet<string>;
}

export interface ModelDevices {
  readonly direct: TestSender;
  readonly register: () => Promise<void>;
  isHubUp: boolean;
  readonly states: Record<Destination, State>;
  /** The app is removed: its address answers that it is gone. */
  readonly uninstall: (user: string, destination: Destination) => void;
  /** The app is there again, or goes on, under another address. */
  readonly move: (user: string, destination: Destination) => Promise<void>;
  readonly isGone: (user: string, destination: Destination) => boolean;
  readonly addressesOf: (users: readonly string[]) => readonly string[];
  /** The service looks for refusals in a row in one call only, and a call that dies may not record the pause. */
  readonly beginCall: (kind: "send" | "crash" | "pass") => void;
  /** To be asked when nothing is due any more but for what is refused. */
  readonly expectPushed: (sending: PushedSending) => void;
  /** Whose receipt can be told, and what it says. */
  readonly toReceipt: (sending: PushedSending, user: string) => string | undefined;
  readonly expectNothingForeign: (sendings: readonly PushedSending[]) => void;
}

export const hasDirect = (user: string): user is (typeof DIRECT_USERS)[number] =>
  DIRECT_USERS.some((one) => one === user);

const userOf = (address: string) => address.split(".")[1] ?? "";

export function createModelDevices(toApi: () => Api): ModelDevices {
  const direct = createDirectSender(["adm"]);
  const addresses = new Map<string, string>();
  /** Where a device that has changed its address is now. */
  const successors = new Map<string, string>();
  const gone = new Set<string>();
  const states: ModelDevices["states"] = { north: "up", south: "up" };
  const pauses = createPauses(() => Date.now() + toApi().time.aheadMs);
  const stateOf = (address: string) => states[toDestination(address) as Destination];
  let generation = 0;
  direct.answer = (address) => {
    pauses.note(address, stateOf(address));
    if (stateOf(address) === "away") return { kind: "transient", cause: "ECONNREFUSED" };
    if (stateOf(address) === "throttled")
      return { kind: "throttled", retryAfterSeconds: RETRY_AFTER_SECONDS };
    return gone.has(address) ? { kind: "gone" } : accepted;
  };
  const install = async (user: string, destination: Destination) => {
    const address = `${destination}.${user}.${generation++}`;
    const path = `/api/installations/${destination}`;
    const answer = await toApi().as(user, "PUT", path, { platform: "adm", pushChannel: address });
    expect(answer.status, answer.text).toBeLessThan(300);
    const before = addresses.get(`${destination}.${user}`);
    if (before !== undefined && !gone.has(before)) successors.set(before, address);
    addresses.set(`${destination}.${user}`, address);
  };
  const isAccepted = (address: string, id: string) =>
    direct.pushes.some(
      (push) => push.address === address && push.notificationId === id && push.outcome === "accepted",
    );
  /** The address that took the push, or the one at which the device waits for it. */
  const follow = (address: string, id: string): string => {
    const next = isAccepted(address, id) ? undefined : successors.get(address);
    return next === undefined ? address : follow(next, id);
  };
  const devices: ModelDevices = {
    direct,
    isHubUp: true,
    states,
    register: async () => {
      const phone = (user: string) =>
        toApi().as(user, "PUT", "/api/installations/phone", { platform: "fcmv1", pushChannel: user });
      await Promise.all([
        ...HUB_USERS.map(phone),
        ...DIRECT_USERS.flatMap((user) => DESTINATIONS.map((destination) => install(user, destination))),
      ]);
    },
    uninstall: (user, destination) => void gone.add(addresses.get(`${destination}.${user}`) ?? ""),
    move: install,
    isGone: (user, destination) => gone.has(addresses.get(`${destination}.${user}`) ?? ""),
    addressesOf: (users) => [...addresses.values()].filter((address) => users.includes(userOf(address))),
    beginCall: pauses.beginCall,
    expectPushed: ({ to, id = "", addresses: known, erased, deleted }) => {
      const isOwed = (user: string) => !erased.has(user) && !deleted.has(user);
      const toHub = to.filter((user) => HUB_USERS.includes(user) && isOwed(user));
      if (devices.isHubUp) expect(channelsOf(toApi(), id)).toEqual(expect.arrayContaining(toHub));
      for (const address of known.map((one) => follow(one, id)))
        if (isOwed(userOf(address)) && stateOf(address) === "up" && !gone.has(address))
          expect(isAccepted(address, id), `${id} at ${address}`).toBe(true);
      expect(pauses.broken).toEqual([]);
    },
    toReceipt: ({ id = "", addresses: known }, user) => {
      const own = known.filter((address) => userOf(address) === user).map((one) => follow(one, id));
      const isOfHub = HUB_USERS.includes(user);
      const isAtHub = channelsOf(toApi(), id).includes(user);
      const open = own.filter((address) => stateOf(address) !== "up" && !isAccepted(address, id));
      // Whether a device that is gone has been removed yet, nobody needs to know before its destination is up.
      if (open.some((address) => gone.has(address))) return undefined;
      if (open.length > 0 || (isOfHub && !isAtHub && !devices.isHubUp)) return "pending";
      const isTaken = direct.pushes.some(
        ({ address, notificationId, outcome }) =>
          userOf(address) === user && notificationId === id && outcome === "accepted",
      );
      return isTaken || isAtHub ? "accepted" : "noDevices";
    },
    expectNothingForeign: (sendings) => {
      const byId = new Map(sendings.map((sending) => [sending.id, sending]));
      for (const { address, notificationId } of direct.pushes)
        expect(byId.get(notificationId)?.to, `${notificationId} at ${address}`).toContain(userOf(address));
      for (const { id = "", to } of sendings)
        for (const user of channelsOf(toApi(), id)) expect(to).toContain(user);
    },
  };
  return devices;
}

/**
 * Watches that no pass asks a destination for something before the time that it named is over. That time counts from
 * when it has refused three devices in a row in one call.
 */
function createPauses(nowMs: () => number) {
  const untilMs = new Map<string, number>();
  const refused = new Map<string, Set<string>>();
  const broken: string[] = [];
  let call: "send" | "crash" | "pass" = "send";
  return {
    broken: broken as readonly string[],
    beginCall: (kind: typeof call) => {
      call = kind;
      refused.clear();
    },
    note: (address: string, state: State) => {
      const destination = toDestination(address);
      const leftMs = (untilMs.get(destination) ?? 0) - nowMs();
      // In the first second the pushes that had begun with the last of the three.
      if (call === "pass" && leftMs > 0 && leftMs < RETRY_AFTER_SECONDS * 1000 - 1000)
        broken.push(`${address}, ${leftMs} ms too early`);
      if (state !== "throttled") refused.delete(destination);
      else {
        const inRow = refused.get(destination) ?? new Set();
        refused.set(destination, inRow.add(address));
        if (inRow.size < 3) return;
        refused.delete(destination);
        if (call !== "crash") untilMs.set(destination, nowMs() + RETRY_AFTER_SECONDS * 1000);
      }
    },
  };
}
