// The route table: every HTTP function, who may call it, and how long it may take. Start reading here.
import type { Limits } from "../shared/config.ts";
import type { Service } from "../shared/service.ts";
import { deleteNotification } from "./deleteNotification.ts";
import { eraseRecipient } from "./eraseRecipient.ts";
import { getNotification } from "./getNotification.ts";
import { getPushConfig, type PushConfig } from "./getPushConfig.ts";
import { getReceipts } from "./getReceipts.ts";
import type { Route } from "./handler.ts";
import { health } from "./health.ts";
import { listNotifications } from "./listNotifications.ts";
import { markRead } from "./markRead.ts";
import { registerInstallation } from "./registerInstallation.ts";
import { removeInstallation } from "./removeInstallation.ts";
import { sendSecure } from "./sendSecure.ts";

export function createRoutes(service: Service, limits: Limits, pushConfig: PushConfig): readonly Route[] {
  return [
    {
      name: "sendSecure",
      methods: ["POST"],
      path: "notifications",
      timeoutMs: 10_000,
      caller: "sender",
      handle: sendSecure(service, limits.maxPayloadBytes),
    },
    {
      name: "getNotification",
      methods: ["GET"],
      path: "notifications/{id}",
      timeoutMs: 5_000,
      caller: "device",
      handle: getNotification(service),
    },
    {
      name: "listNotifications",
      methods: ["GET"],
      path: "notifications",
      timeoutMs: 5_000,
      query: ["unread", "limit", "cursor"],
      caller: "device",
      handle: listNotifications(service),
    },
    {
      name: "markRead",
      methods: ["PUT"],
      path: "notifications/{id}/read",
      timeoutMs: 10_000,
      caller: "device",
      handle: markRead(service),
    },
    {
      name: "deleteNotification",
      methods: ["DELETE"],
      path: "notifications/{id}",
      timeoutMs: 10_000,
      caller: "device",
      handle: deleteNotification(service),
    },
    {
      name: "registerInstallation",
      methods: ["PUT"],
      path: "installations/{installationId}",
      timeoutMs: 10_000,
      caller: "device",
      handle: registerInstallation(service),
    },
    {
      name: "removeInstallation",
      methods: ["DELETE"],
      path: "installations/{installationId}",
      timeoutMs: 10_000,
      caller: "device",
      handle: removeInstallation(service),
    },
    {
      name: "getReceipts",
      methods: ["POST"],
      path: "receipts",
      timeoutMs: 10_000,
      caller: "sender",
      handle: getReceipts(service),
    },
    {
      name: "eraseRecipient",
      methods: ["POST"],
      path: "recipients/erase",
      timeoutMs: 10_000,
      caller: "sender",
      handle: eraseRecipient(service),
    },
    {
      name: "getPushConfig",
      methods: ["GET"],
      path: "push-config",
      timeoutMs: 5_000,
      caller: "anyone",
      handle: getPushConfig(pushConfig),
    },
    {
      name: "health",
      methods: ["GET"],
      path: "health",
      timeoutMs: 5_000,
      caller: "anyone",
      handle: health(service),
    },
  ];
}
