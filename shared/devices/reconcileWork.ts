// The outbox's record of a registration, move or removal whose effects are still to be brought to every row and to the
// sender's directory. No I/O.
import * as z from "zod";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";

export const ReconcileWork = z.object({
  kind: z.literal("reconcile"),
  /** Partitions in which rows may still have to change: the registering user's, and a former owner's. */
  recipientKeys: z.array(z.custom<RecipientKey>((value) => typeof value === "string")),
  channelKeys: z.array(z.custom<ChannelKey>((value) => typeof value === "string")),
});
export interface ReconcileWork {
  readonly kind: "reconcile";
  readonly recipientKeys: readonly RecipientKey[];
  readonly channelKeys: readonly ChannelKey[];
}
