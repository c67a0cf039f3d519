// The outbox's record of a registration, move or removal whose effects are still to be brought to every row and to the
// sender's directory. No I/O.
import * as z from "zod";
import type { ChannelKey, RecipientKey } from "../crypto/keyring.ts";
import { PLATFORMS, SENDER_NAMES } from "../domain/installation.ts";

const recipientKey = z.custom<RecipientKey>((value) => typeof value === "string");
const channelKey = z.custom<ChannelKey>((value) => typeof value === "string");

const DirectoryPut = z.object({
  recipientKey,
  channelKey,
  generation: z.int().min(0),
  platform: z.enum(PLATFORMS),
  sender: z.enum(SENDER_NAMES),
});
/** A directory entry that a call may create. If the channel has a newer holder by then, the entry has to be removed. */
export interface DirectoryPut extends Readonly<z.infer<typeof DirectoryPut>> {}

export const ReconcileWork = z.object({
  kind: z.literal("reconcile"),
  recipientKeys: z.array(recipientKey),
  channelKeys: z.array(channelKey),
  puts: z.array(DirectoryPut),
});
export interface ReconcileWork {
  readonly kind: "reconcile";
  /** Partitions in which rows may still have to change: the registering user's, and a former owner's. */
  readonly recipientKeys: readonly RecipientKey[];
  readonly channelKeys: readonly ChannelKey[];
  readonly puts: readonly DirectoryPut[];
}
