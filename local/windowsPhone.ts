// A simulated Windows Phone: its app opens a channel at the MPNS endpoint and gets raw pushes, whose body is the ID.
import type { ReceivedPush, SimulatedDevice } from "./devices.ts";
import type { MpnsEndpoint } from "./mpnsEndpoint.ts";
import { untilAborted } from "./device.ts";

/** @param owner Their user id. */
export function createWindowsPhone(mpns: MpnsEndpoint, owner: string): SimulatedDevice {
  const pushChannel = mpns.openChannel();
  const waiting: ReceivedPush[] = [];
  const carried: string[] = [];
  const closed = new AbortController();
  let arrived = Promise.withResolvers<void>();
  const stop = mpns.onPush(({ channelUri, body, headers }) => {
    if (channelUri !== pushChannel) return;
    carried.push(channelUri, body, JSON.stringify(headers));
    waiting.push({ id: body, body, headers: toShownHeaders(headers) });
    arrived.resolve();
    arrived = Promise.withResolvers();
  });
  return {
    name: `${owner}'s Windows Phone`,
    installationId: `${owner}s-windows-phone`,
    registration: { platform: "mpns", pushChannel },
    next: async (signal) => {
      const end = AbortSignal.any([signal, closed.signal]);
      for (;;) {
        end.throwIfAborted();
        const push = waiting.shift();
        if (push !== undefined) return push;
        await untilAborted(arrived.promise, end);
      }
    },
    carried: () => carried,
    close: () => {
      stop();
      closed.abort(new Error("the device is closed"));
    },
  };
}

/** MPNS's own headers, by their usual names. */
function toShownHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const names = ["X-NotificationClass", "X-MessageID"];
  return Object.fromEntries(names.map((name) => [name, headers[name.toLowerCase()] ?? ""]));
}
