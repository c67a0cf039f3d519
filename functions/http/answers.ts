// The bodies of the answers, as schemas: they type what handlers answer, and the API's document shows them under their
// names here. They are open, so that members can be added: callers ignore members that they do not know. No I/O.
import * as z from "zod";
import { NotificationId } from "../../shared/domain/id.ts";
import { InstallationId } from "../../shared/domain/installation.ts";
import { PUSH_STATUSES } from "../../shared/domain/notification.ts";
import { type Reason, REASONS } from "../../shared/problem.ts";

/** The body that a handler answers: `Answers["Sent"]`. */
export type Answers = {
  readonly [Name in keyof AnswerSchemas]: z.input<AnswerSchemas[Name]>;
};
type AnswerSchemas = ReturnType<typeof createAnswers>;

let schemas: AnswerSchemas | undefined;

/** The schemas. They are made when the document first asks for them, so that a cold start does not pay for them. */
export function answers(): AnswerSchemas {
  if (schemas === undefined) {
    schemas = createAnswers();
    for (const [id, schema] of Object.entries(schemas))
      z.globalRegistry.add(schema, { ...z.globalRegistry.get(schema), id });
  }
  return schemas;
}

function createAnswers() {
  return { ...createNotificationAnswers(), ...createServiceAnswers() };
}

function createNotificationAnswers() {
  const createdAt = toTime();
  const expiresAt = toTime().describe("From this moment on the payload is gone.");
  const PushStatus = z
    .enum(PUSH_STATUSES)
    .describe("The result of the push. The payload can be fetched whatever the result is.");
  const ReceiptStatus = z
    .enum([...PUSH_STATUSES, "unknown"])
    .describe("`unknown`: nothing is known about it, or nothing any more.");
  const Receipt = z.object({
    to: z.string().describe("The user id in its folded form."),
    push: ReceiptStatus,
    fetchedAt: toTime().optional().describe("The first fetch."),
    readAt: toTime().optional().describe("When it was first marked read."),
  });
  const NotificationSummary = z.object({
    id: NotificationId,
    createdAt,
    expiresAt,
    read: z.boolean(),
    fetchedAt: toTime().optional().describe("The first fetch."),
  });
  return {
    PushStatus,
    ReceiptStatus,
    Receipt,
    NotificationSummary,
    Sent: z.object({ id: NotificationId, createdAt, expiresAt, push: PushStatus }),
    Notification: z.object({
      id: NotificationId,
      payload: z.unknown().describe("Byte for byte as sendSecure got it, numbers too."),
      createdAt,
      expiresAt,
      read: z.boolean(),
    }),
    NotificationList: z.object({
      notifications: z.array(NotificationSummary).describe("The newest first."),
      cursor: z.string().optional().describe("For the next page. Absent on the last page."),
    }),
    ReceiptsResponse: z.object({
      id: z.string().describe("As it was asked for."),
      receipts: z.array(Receipt).describe("In the order that was asked for."),
    }),
  };
}

function createServiceAnswers() {
  const Reason = z
    .enum(REASONS as [Reason, ...Reason[]])
    .describe("Why a call was refused, for programs: stable. Each operation lists its own reasons.");
  return {
    Reason,
    PushConfig: z.object({
      vapidPublicKey: z
        .string()
        .optional()
        .describe("The application server key: a point on P-256 in base64url (RFC 8292 §3.2)."),
    }),
    Installation: z.object({
      installationId: InstallationId,
      expiresAt: toTime().describe("From this moment on the device gets nothing more, unless it is renewed."),
    }),
    Health: z.object({ status: z.literal("ok") }),
    OpenApiDocument: z
      .looseObject({ openapi: z.string(), info: z.looseObject({}), paths: z.looseObject({}) })
      .describe("OpenAPI 3.1."),
    Problem: z
      .object({
        type: z.literal("about:blank"),
        title: z.string().describe("For people: what `reason` means."),
        status: z.int().min(400).max(599).describe("The status of the answer."),
        reason: Reason,
        detail: z
          .string()
          .optional()
          .describe("Names the member, parameter or header and the rule that it breaks, never a value."),
      })
      .describe("Why a call was refused (RFC 9457)."),
  };
}

/** UTC, with milliseconds. */
function toTime() {
  return z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    .meta({ format: "date-time" });
}
