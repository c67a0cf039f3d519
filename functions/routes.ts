// Every HTTP function with its handler and its description; routeTable.ts says who may call it, and how long it may take.
// Start reading here.
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
import { ROUTES } from "./routeTable.ts";
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
      ...ROUTES.getOpenApi,
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
      ...ROUTES.sendSecure,
      handle: sendSecure(service, limits.maxPayloadBytes),
      describe: () => describeSendSecure(limits, alertText),
    },
    {
      name: "getReceipts",
      ...ROUTES.getReceipts,
      handle: getReceipts(service),
      describe: describeGetReceipts,
    },
    {
      name: "eraseRecipient",
      ...ROUTES.eraseRecipient,
      handle: eraseRecipient(service),
      describe: describeEraseRecipient,
    },
  ];
}

function createNotificationRoutes(service: Service): readonly Route[] {
  return [
    {
      name: "getNotification",
      ...ROUTES.getNotification,
      handle: getNotification(service),
      describe: describeGetNotification,
    },
    {
      name: "listNotifications",
      ...ROUTES.listNotifications,
      handle: listNotifications(service),
      describe: describeListNotifications,
    },
    {
      name: "markRead",
      ...ROUTES.markRead,
      handle: markRead(service),
      describe: describeMarkRead,
    },
    {
      name: "deleteNotification",
      ...ROUTES.deleteNotification,
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
      ...ROUTES.registerInstallation,
      handle: registerInstallation(service, platforms),
      describe: () => describeRegisterInstallation(limits, platforms()),
    },
    {
      name: "removeInstallation",
      ...ROUTES.removeInstallation,
      handle: removeInstallation(service),
      describe: describeRemoveInstallation,
    },
  ];
}

function createServiceRoutes(service: Service, pushConfig: PushConfig): readonly Route[] {
  return [
    {
      name: "getPushConfig",
      ...ROUTES.getPushConfig,
      handle: getPushConfig(pushConfig),
      describe: describeGetPushConfig,
    },
    {
      name: "health",
      ...ROUTES.health,
      handle: health(service),
      describe: describeHealth,
    },
  ];
}
