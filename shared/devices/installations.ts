// Registering and removing devices, and listing them for a push. I/O through store and senders.
import type { Clock } from "../base/clock.ts";
import type { CallContext } from "../base/context.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Limits } from "../config/config.ts";
import type { Keyring, RecipientKey } from "../crypto/keyring.ts";
import type { InstallationId, InstallationRequest } from "../domain/installation.ts";
import type { UserId } from "../domain/notification.ts";
import type { Tasks } from "../outbox/tasks.ts";
import type { Failure } from "../problem.ts";
import type { Registration } from "../push/sender.ts";
import type { Senders } from "../push/senders.ts";
import { untilWon } from "../store/race.ts";
import type { Store } from "../store/store.ts";
import { type Device, type DeviceListing, listDevices } from "./devices.ts";
import { toAddress } from "./pushChannel.ts";
import type { Reconciled } from "./former.ts";
import { reconcile } from "./reconciling.ts";
import type { ReconcileWork } from "../store/reconcileWork.ts";
import { type Registered, tryRegister, type Wanted } from "./registering.ts";
import { recordErasure, removeEarlier, removeInstallation } from "./removing.ts";
import { sweep } from "./sweeping.ts";

export interface Installations {
  /** Refuses a platform that no sender serves now, a channel that its sender does not admit, and too many installations. */
  readonly register: (
    userId: UserId,
    installationId: InstallationId,
    request: InstallationRequest,
    context: CallContext,
  ) => Promise<Result<Registered, Failure>>;
  /** Removing what does not exist is no failure. Redelivery informs a directory that cannot be reached now. */
  readonly remove: (userId: UserId, installationId: InstallationId, context: CallContext) => Promise<void>;
  /** Removes every installation of a recipient that its user last wrote before that. */
  readonly removeAll: (recipientKey: RecipientKey, before: Date, context: CallContext) => Promise<void>;
  /** Records that a recipient is to be erased: a renewal after that counts as a new registration. */
  readonly recordErasure: (recipientKey: RecipientKey, context: CallContext) => Promise<void>;
  /** Removes a device that its push service calls gone, unless it has been written since it was listed (R117). */
  readonly forget: (device: Device, context: CallContext) => Promise<void>;
  /** Finishes what a registration, a move or a removal has left. */
  readonly reconcile: (work: ReconcileWork, context: CallContext) => Promise<Reconciled>;
  readonly listDevices: (recipientKey: RecipientKey, context: CallContext) => Promise<DeviceListing>;
  /** One part of the regular clean-up. */
  readonly sweep: (context: CallContext) => Promise<void>;
}

export interface InstallationsOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly senders: Senders;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly tasks: Tasks;
}

export function createInstallations(options: InstallationsOptions): Installations {
  return {
    register: (userId, installationId, request, context) =>
      register(options, { userId, installationId, request }, context),
    remove: async (userId, installationId, context) => {
      const purposes = await options.keyring.purposes(context.signal);
      const holder = { recipientKey: purposes.toRecipientKey(userId), installationId };
      await removeInstallation(options, { holder, directory: "now" }, context);
      context.log.info("installation_removed");
    },
    removeAll: (recipientKey, before, context) => removeEarlier(options, recipientKey, before, context),
    recordErasure: (recipientKey, { signal }) => recordErasure(options, recipientKey, signal),
    forget: async (device, context) => {
      const removal = { holder: device, etag: device.etag, directory: "now" } as const;
      if (await removeInstallation(options, removal, context))
        context.log.info("installation_forgotten", { platform: device.platform });
    },
    reconcile: (work, context) => reconcile(options, work, context),
    listDevices: (recipientKey, context) => listDevices(options, recipientKey, context),
    sweep: (context) => sweep(options, context),
  };
}

interface RegisterCommand {
  readonly userId: UserId;
  readonly installationId: InstallationId;
  readonly request: InstallationRequest;
}

function toRegistration(request: InstallationRequest): Registration {
  const { platform, pushChannel: channel } = request;
  const vapidPublicKey = request.platform === "browser" ? request.vapidPublicKey : undefined;
  return { platform, channel, ...(vapidPublicKey === undefined ? {} : { vapidPublicKey }) };
}

async function register(
  options: InstallationsOptions,
  { userId, installationId, request }: RegisterCommand,
  context: CallContext,
): Promise<Result<Registered, Failure>> {
  const { senders, keyring } = options;
  const { platform, pushChannel: channel } = request;
  const sender = senders.forPlatform(platform);
  if (sender === undefined)
    return err({
      reason: "platform_not_served",
      detail: `platform: must be one of ${senders.platforms().join(", ")}`,
    });
  const admission = await sender.admit?.(toRegistration(request), context);
  if (admission?.kind === "refused") return err({ reason: "push_channel_refused", detail: admission.detail });
  const purposes = await keyring.purposes(context.signal);
  const wanted: Wanted = {
    holder: { recipientKey: purposes.toRecipientKey(userId), installationId },
    sender,
    platform,
    channel,
    channelKey: purposes.toChannelKey(platform, toAddress(platform, channel)),
    ...(admission?.subscribedUnder === undefined ? {} : { subscribedUnder: admission.subscribedUnder }),
    purposes,
  };
  const registered = await untilWon(
    () => tryRegister(options, wanted, context),
    "an installation changed too often at once",
    context.signal,
  );
  if (!registered.ok) return registered;
  const { isNew, isPending } = registered.value;
  context.log.info("installation_registered", { platform, isNew, isPending });
  return ok(registered.value);
}
