// What the hub tells of a send afterwards, and at once of a test send (docs/notification-hubs-protocol.md §7). No I/O.
import { platforms } from "./platforms.ts";
import { type Attempt, type PushOutcomeName, toPushChannel } from "./pushService.ts";
import type { Send } from "./sendRequest.ts";
import { connectDocument, element, textElement } from "./xml.ts";

/** One send in the emulator's memory. */
export interface SendRecord {
  readonly id: string;
  readonly send: Send;
  readonly enqueuedAt: Date;
  readonly state: "Scheduled" | "Cancelled" | "Completed" | "NoTargetFound";
  readonly pushedAt?: Date;
  readonly attempts: readonly Attempt[];
}

/** Counts without an outcome are left out: the SDK's reader throws at an empty one. */
export function toNotificationDetails({ send, ...record }: SendRecord, location: string): string {
  const counts = Object.values(platforms).flatMap((platform) => {
    const outcomes = Map.groupBy(
      record.attempts.filter((attempt) => platforms[attempt.platform] === platform),
      ({ outcome }) => outcome,
    );
    const children = [...outcomes].map(([name, { length }]) =>
      element("Outcome", [textElement("Name", name), textElement("Count", length)]),
    );
    return children.length === 0 ? [] : [element(platform.counts, children)];
  });
  const pushedAt = record.pushedAt?.toISOString();
  return connectDocument("NotificationDetails", [
    textElement("NotificationId", record.id),
    textElement("Location", location.replace(/^https?:/, "sb:")),
    textElement("State", record.state),
    textElement("EnqueueTime", record.enqueuedAt.toISOString()),
    ...(pushedAt === undefined ? [] : [textElement("StartTime", pushedAt), textElement("EndTime", pushedAt)]),
    textElement("NotificationBody", send.bodyText),
    ...(send.target.kind === "tags" ? [textElement("Tags", send.target.text)] : []),
    textElement("TargetPlatforms", toTargetPlatforms(send, record.attempts)),
    ...counts,
  ]);
}

function toTargetPlatforms({ notification }: Send, attempts: readonly Attempt[]): string {
  if (notification.kind === "native") return platforms[notification.platform].format;
  const names = attempts.map(({ platform }) => `${platforms[platform].format}template`);
  return [...new Set(names)].join(",");
}

/** The three texts that were recorded; the others are our own. */
const OUTCOME_TEXTS: Readonly<Partial<Record<PushOutcomeName, string>>> = {
  Success: "The Notification was successfully sent to the Push Notification System",
  BadChannel: "The Push Notification System handle for the registration is invalid",
  WrongToken: "The Token obtained from the Token Provider is wrong",
};

/** The answer to a test send. The SDK throws when `Results` is missing. */
export function toNotificationOutcome(attempts: readonly Attempt[]): string {
  const success = attempts.filter(({ outcome }) => outcome === "Success").length;
  const results = attempts.map((attempt) =>
    element("RegistrationResult", [
      textElement("ApplicationPlatform", platforms[attempt.platform].format),
      textElement("PnsHandle", toPushChannel(attempt.channel)),
      textElement("RegistrationId", attempt.installationId ?? toPushChannel(attempt.channel)),
      textElement("Outcome", OUTCOME_TEXTS[attempt.outcome] ?? attempt.outcome),
    ]),
  );
  return connectDocument("NotificationOutcome", [
    textElement("Success", success),
    textElement("Failure", attempts.length - success),
    element("Results", results),
  ]);
}
