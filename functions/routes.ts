// The route table: every HTTP function, who may call it, and how long it may take. Start reading here.
import type { Config } from "../shared/config/config.ts";
import type { Platform } from "../shared/domain/installation.ts";
import type { Service } from "../shared/service.ts";
import { deleteNotification, describeDeleteNotification } from "./deleteNotification.ts";
import { describeEraseRecipient, eraseRecipient } from "./eraseRecipient.ts";
import { describeGetNotification, getNotification } from "./getNotification.ts";
import { describeGetOpenApi, getOpenApi } from "./getOpenApi.ts";
import { describeGetPushConfig, getPushConfig, type PushConfig } from "./getPushConfig.ts";
import { describeGetReceipts, getReceipts } from "./getReceipts.ts";
import type { Route } from "./http/handler.ts";
import { describeHealth, health } from "./health.ts";
import { describeListNotifications, listNotifications } from "./listNotifications.ts";
import { describeMarkRead, markRead } from "./markRead.ts";
import { toOpenApi } from "./openapi/openApi.ts";
import { describeRegisterInstallation, registerInstallation } from "./registerInstallation.ts";
import { describeRemoveInstallation, removeInstallation } from "./removeInstallation.ts";
import { describeSendSecure, sendSecure } from "./sendSecure.ts";

type RouteConfig = Pick<Config, "limits" | "alertText" | "senders" | "tokens">;

/** @param platforms The platforms that a device can be registered for now. */
export function createRoutes(
  service: Service,
  config: RouteConfig,
  pushConfig: PushConfig,
  platforms: () => readonly Platform[],
): readonly Route[] {
  const routes: readonly Route[] = [
    ...createSenderRoutes(service, config),
    ...createNotificationRoutes(service),
    ...createInstallationRoutes(service, config, platforms),
    ...createServiceRoutes(service, pushConfig),
    {
      name: "getOpenApi",
      methods: ["GET", "HEAD"],
      path: "openapi.json",
      timeoutMs: 5_000,
      caller: "anyone",
      handle: getOpenApi(() => toOpenApi(routes, config)),
      describe: describeGetOpenApi,
    },
  ];
  return routes;
}

function createSenderRoutes(service: Service, { limits, alertText }: RouteConfig): readonly Route[] {
  return [
    {
      name: "sendSecure",
      methods: ["POST"],
      path: "notifications",
      timeoutMs: 10_000,
      caller: "sender",
      handle: sendSecure(service, limits.maxPayloadBytes),
      describe: () => describeSendSecure(limits, alertText),
    },
    {
      name: "getReceipts",
      methods: ["POST"],
      path: "receipts",
      timeoutMs: 10_000,
      caller: "sender",
      handle: getReceipts(service),
      describe: describeGetReceipts,
    },
    {
      name: "eraseRecipient",
      methods: ["POST"],
      path: "recipients/erase",
      timeoutMs: 10_000,
      caller: "sender",
      handle: eraseRecipient(service),
      describe: describeEraseRecipient,
    },
  ];
}

function createNotificationRoutes(service: Service): readonly Route[] {
  return [
    {
      name: "getNotification",
      methods: ["GET"],
      path: "notifications/{id}",
      timeoutMs: 5_000,
      caller: "device",
      handle: getNotification(service),
      describe: describeGetNotification,
    },
    {
      name: "listNotifications",
      methods: ["GET"],
      path: "notifications",
      timeoutMs: 5_000,
      query: ["unread", "limit", "cursor"],
      caller: "device",
      handle: listNotifications(service),
      describe: describeListNotifications,
    },
    {
      name: "markRead",
      methods: ["PUT"],
      path: "notifications/{id}/read",
      timeoutMs: 10_000,
      caller: "device",
      handle: markRead(service),
      describe: describeMarkRead,
    },
    {
      name: "deleteNotification",
      methods: ["DELETE"],
      path: "notifications/{id}",
      timeoutMs: 10_000,
      caller: "device",
      handle: deleteNotification(service),
      describe: describeDeleteNotification,
    },
  ];
}

function createInstallationRoutes(
  service: Service,
  { limits }: RouteConfig,
  platforms: () => readonly Platform[],
): readonly Route[] {
  return [
    {
      name: "registerInstallation",
      methods: ["PUT"],
      path: "installations/{installationId}",
      timeoutMs: 10_000,
      caller: "device",
      handle: registerInstallation(service, platforms),
      describe: () => describeRegisterInstallation(limits, platforms()),
    },
    {
      name: "removeInstallation",
      methods: ["DELETE"],
      path: "installations/{installationId}",
      timeoutMs: 10_000,
      caller: "device",
      handle: removeInstallation(service),
      describe: describeRemoveInstallation,
    },
  ];
}

function createServiceRoutes(service: Service, pushConfig: PushConfig): readonly Route[] {
  return [
    {
      name: "getPushConfig",
      methods: ["GET", "HEAD"],
      path: "push-config",
      timeoutMs: 5_000,
      caller: "anyone",
      handle: getPushConfig(pushConfig),
      describe: describeGetPushConfig,
    },
    {
      name: "health",
      methods: ["GET", "HEAD"],
      path: "health",
      timeoutMs: 5_000,
      caller: "anyone",
      handle: health(service),
      describe: describeHealth,
    },
  ];
}
