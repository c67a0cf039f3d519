// A simulated Windows Phone: its app opens a channel at the MPNS endpoint and gets raw pushes, whose body is the ID.
import type { ReceivedPush, SimulatedDevice } from "./devices.ts";
import type { MpnsEndpoint } from "./mpnsEndpoint.ts";
import { createPushQueue } from "./pushQueue.ts";

/** @param owner Their user id. */
export function createWindowsPhone(mpns: MpnsEndpoint, owner: string): SimulatedDevice {
  const pushChannel = mpns.openChannel();
  const carried: string[] = [];
  const { next, close } = createPushQueue<ReceivedPush>((add) =>
    mpns.onPush(({ channelUri, body, headers }) => {
      if (channelUri !== pushChannel) return;
      carried.push(channelUri, body, JSON.stringify(headers));
      add({ id: body, body, headers: toShownHeaders(headers) });
    }),
  );
  return {
    name: `${owner}'s Windows Phone`,
    installationId: `${owner}s-windows-phone`,
    registration: { platform: "mpns", pushChannel },
    next,
    carried: () => carried,
    close,
  };
}

/** MPNS's own headers, by their usual names. */
function toShownHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const names = ["X-NotificationClass", "X-MessageID"];
  return Object.fromEntries(names.map((name) => [name, headers[name.toLowerCase()] ?? ""]));
}
