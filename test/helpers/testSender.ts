// Senders that answer as a test says: one that is like the hub (groups, a directory), and one that pushes to single
// devices of two destinations, as Web Push and MPNS do.
import type { CallContext } from "../../shared/base/context.ts";
import type { Platform, PushChannel } from "../../shared/domain/installation.ts";
import type { PushMessage, PushOutcome, Sender } from "../../shared/push/sender.ts";

export const accepted: PushOutcome = { kind: "accepted" };

/** What a push comes to: `address` is a push channel, or `group` for a group push. */
type Answer = (address: string, message: PushMessage) => PushOutcome | Promise<PushOutcome>;

export interface TestSender {
  readonly sender: Sender;
  /** The addresses pushed to, in order. */
  readonly calls: string[];
  /** Changes the answers. */
  answer: Answer;
}

const PLATFORMS: readonly Platform[] = ["fcmv1"];

function addressOf(channel: PushChannel): string {
  return typeof channel === "string" ? channel : channel.endpoint;
}

function createTestSender(
  toSender: (push: (address: string, message: PushMessage) => Promise<PushOutcome>) => Sender,
): TestSender {
  const calls: string[] = [];
  const test: TestSender = {
    calls,
    answer: () => accepted,
    sender: toSender(async (address, message) => {
      calls.push(address);
      return test.answer(address, message);
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
    push: ({ channel }, message) => push(addressOf(channel), message),
    groups: {
      maxRecipients: 20,
      visibleAfterMs: 120_000,
      maxDirectPushes: 5,
      push: (_platform, _recipients, message, _context: CallContext) => push("group", message),
    },
    directory: {
      put: () => Promise.resolve({ kind: "accepted" }),
      remove: () => Promise.resolve({ kind: "accepted" }),
    },
  }));
}

/** Single devices; what stands before the first full stop of a push channel is its destination. */
export function createDirectSender(): TestSender {
  return createTestSender((push) => ({
    name: "webPush",
    platforms: PLATFORMS,
    isServing: () => true,
    push: ({ channel }, message) => push(addressOf(channel), message),
    toDestination: (channel) => addressOf(channel).split(".")[0] ?? "",
  }));
}
