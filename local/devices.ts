// The devices of the local stack. The story plays with all of them, and `npm start` lets them go on afterwards.
// To add one: write a function that makes a SimulatedDevice, and name it in createDevices.
import { createBrowser } from "./browser.ts";
import { createDevice } from "./device.ts";
import type { Stack } from "./stack.ts";
import { createWindowsPhone } from "./windowsPhone.ts";

/** Who the devices belong to. */
export const USER = "alice";

export interface SimulatedDevice {
  /** For the user, such as "alice's phone". */
  readonly name: string;
  readonly installationId: string;
  /** The body of registerInstallation. */
  readonly registration: Readonly<Record<string, unknown>>;
  /** Resolves with the next push. Rejects when a push holds no ID, and when the signal aborts. */
  readonly next: (signal: AbortSignal) => Promise<ReceivedPush>;
  /** All that its push service has received so far, as text. */
  readonly carried: () => readonly string[];
  readonly close: () => void;
}

export interface ReceivedPush {
  /** The notification's. */
  readonly id: string;
  /** What the device got. */
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export function createDevices(stack: Stack): readonly SimulatedDevice[] {
  return [createPhone(stack), createBrowser(stack.webPush, USER), createWindowsPhone(stack.mpns, USER)];
}

/** A phone by Apple, which the hub reaches through APNs. Device tokens of APNs are hexadecimal. */
function createPhone({ hub }: Stack): SimulatedDevice {
  const pushChannel = "a11ce0".padEnd(64, "0");
  const device = createDevice({ hub, platform: "apns", pushChannel });
  return {
    name: `${USER}'s phone`,
    installationId: "alices-phone",
    registration: { platform: "apns", pushChannel },
    next: async (signal) => {
      const { id, delivery } = await device.next(signal);
      return { id, body: delivery.body, headers: delivery.headers };
    },
    carried: () =>
      hub.requests.flatMap(({ path, rawHeaders, body }) => [path, ...rawHeaders, body.toString("utf8")]),
    close: device.close,
  };
}
