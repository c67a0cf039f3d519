// Senders that answer as a test says: one that is like the hub (groups, a directory), and one that pushes to single
// devices of two destinations, as Web Push and MPNS do.
import type { CallContext } from "../../shared/base/context.ts";
import type { NotificationId } from "../../shared/domain/id.ts";
import type { Platform, PushChannel } from "../../shared/domain/installation.ts";
import { CUT_OFF, type PushMessage, type PushOutcome, type Sender } from "../../shared/push/sender.ts";

export const accepted: PushOutcome = { kind: "accepted" };

/** What a push comes to: `address` is a push channel, or `group` for a group push. */
type Answer = (
  address: string,
  message: PushMessage,
  context: CallContext,
) => PushOutcome | Promise<PushOutcome>;

/** Ends with the call, as it does with the real senders. */
export const neverAnswer: Answer = (_address, _message, { signal }) =>
  new Promise((resolve) => {
    const end = () => resolve({ kind: "transient", cause: CUT_OFF });
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });

interface TestPush {
  readonly address: string;
  readonly notificationId: NotificationId;
  readonly outcome: PushOutcome["kind"];
}

export interface TestSender {
  readonly sender: Sender;
  /** The addresses pushed to, in order. */
  readonly calls: string[];
  /** The pushes that were answered, in order. */
  readonly pushes: readonly TestPush[];
  /** Changes the answers. */
  answer: Answer;
}

const PLATFORMS: readonly Platform[] = ["fcmv1"];

function addressOf(channel: PushChannel): string {
  return typeof channel === "string" ? channel : channel.endpoint;
}

/** What stands before the first full stop of a push channel. */
export function toDestination(address: string): string {
  return address.split(".")[0] ?? "";
}

type Push = (address: string, message: PushMessage, context: CallContext) => Promise<PushOutcome>;

function createTestSender(toSender: (push: Push) => Sender): TestSender {
  const calls: string[] = [];
  const pushes: TestPush[] = [];
  const test: TestSender = {
    calls,
    pushes,
    answer: () => accepted,
    sender: toSender(async (address, message, context) => {
      calls.push(address);
      const outcome = await test.answer(address, message, context);
      pushes.push({ address, notificationId: message.notificationId, outcome: outcome.kind });
      return outcome;
    }),
  };
  return test;
}

/** One destination, group pushes and a directory that takes everything. */
export function createGroupSender(): TestSender {
  return createTestSender((push) => ({
    name: "hub",
    platforms: PLATFORMS,
    isServing: () => true,
    push: ({ channel }, message, context) => push(addressOf(channel), message, context),
    groups: {
      maxRecipients: 20,
      visibleAfterMs: 120_000,
      maxDirectPushes: 5,
      push: (_platform, _recipients, message, context) => push("group", message, context),
    },
    directory: {
      put: () => Promise.resolve({ kind: "accepted" }),
      remove: () => Promise.resolve({ kind: "accepted" }),
    },
  }));
}

/** Single devices, of many destinations. */
export function createDirectSender(platforms = PLATFORMS): TestSender {
  return createTestSender((push) => ({
    name: "webPush",
    platforms,
    isServing: () => true,
    push: ({ channel }, message, context) => push(addressOf(channel), message, context),
    toDestination: (channel) => toDestination(addressOf(channel)),
  }));
}
