// Which sender serves which platform. No I/O.
import type { Platform, SenderName } from "../domain/installation.ts";
import type { Sender } from "./sender.ts";

export interface Senders {
  readonly all: readonly Sender[];
  /** The platforms that a device can be registered for now. */
  readonly platforms: () => readonly Platform[];
  /** The sender for new registrations of a platform; `undefined` where none serves it now. */
  readonly forPlatform: (platform: Platform) => Sender | undefined;
  /** The sender that an installation was made for; `undefined` where it is not configured any more. */
  readonly named: (name: SenderName) => Sender | undefined;
}

/**
 * Of several senders for one platform the first one has it, also while it is stopped: a subscription made for it is
 * useless to the next.
 */
export function createSenders(all: readonly Sender[]): Senders {
  const forPlatform = (platform: Platform) => {
    const sender = all.find(({ platforms }) => platforms.includes(platform));
    return sender?.isServing() === true ? sender : undefined;
  };
  return {
    all,
    platforms: () => [
      ...new Set(all.flatMap(({ platforms }) => platforms).filter((one) => forPlatform(one) !== undefined)),
    ],
    forPlatform,
    named: (name) => all.find((sender) => sender.name === name),
  };
}
