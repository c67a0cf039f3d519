// The bodies of the answers, as schemas: they type what handlers answer, and the API's document shows them under their
// names here. They are open: a member may be added one day, and callers pass over what they do not know. No I/O.
import * as z from "zod";
import { NotificationId } from "../../shared/domain/id.ts";
import { InstallationId, PUSH_STATUSES } from "../../shared/domain/notification.ts";

/** What a handler answers: `Answers["Sent"]`. */
export type Answers = {
  readonly [Name in keyof AnswerSchemas]: z.input<AnswerSchemas[Name]>;
};
type AnswerSchemas = ReturnType<typeof createAnswers>;

let schemas: AnswerSchemas | undefined;

/** The schemas, made when the document first asks for them: a cold start does not pay for them. */
export function answers(): AnswerSchemas {
  if (schemas === undefined) {
    schemas = createAnswers();
    for (const [id, schema] of Object.entries(schemas))
      z.globalRegistry.add(schema, { ...z.globalRegistry.get(schema), id });
  }
  return schemas;
}

function createAnswers() {
  // UTC, in milliseconds.
  const time = z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    .meta({ format: "date-time" });
  const createdAt = time;
  const push = z
    .enum(PUSH_STATUSES)
    .describe(
      "What the push came to, or that it is still to be made. The payload can be fetched in each case.",
    );
  const expiresAt = time.describe("From this moment on the payload is gone.");
  return {
    Sent: z.object({ id: NotificationId, createdAt, expiresAt, push }),
    Notification: z.object({
      id: NotificationId,
      payload: z.unknown().describe("To the byte as sendSecure was given it, numbers too."),
      createdAt,
      expiresAt,
      read: z.boolean(),
    }),
    NotificationList: z.object({
      notifications: z
        .array(
          z.object({
            id: NotificationId,
            createdAt,
            expiresAt,
            read: z.boolean(),
            fetchedAt: time.optional().describe("When it was first fetched."),
          }),
        )
        .describe("Newest first."),
      cursor: z.string().optional().describe("Where the next page begins; absent on the last."),
    }),
    PushConfig: z.object({
      vapidPublicKey: z
        .string()
        .optional()
        .describe("The application server key: a point on P-256 in base64url (RFC 8292 §3.2)."),
    }),
    Installation: z.object({
      installationId: InstallationId,
      expiresAt: time.describe("From this moment on the device gets nothing more, unless it is renewed."),
    }),
    Receipts: z.object({
      id: z.string().describe("As it was asked."),
      receipts: z
        .array(
          z.object({
            to: z.string().describe("The user id, in its folded form."),
            push: z
              .enum([...PUSH_STATUSES, "unknown"])
              .describe("`unknown`: nothing is known of it, or not any more."),
            fetchedAt: time.optional(),
            readAt: time.optional(),
          }),
        )
        .describe("In the order asked."),
    }),
    Health: z.object({ status: z.literal("ok") }),
    Document: z
      .looseObject({ openapi: z.literal("3.1.1"), info: z.looseObject({}), paths: z.looseObject({}) })
      .describe("OpenAPI 3.1."),
    Problem: z
      .object({
        type: z.literal("about:blank"),
        title: z.string().describe("For people: what `reason` means."),
        status: z.int().min(400).max(599).describe("That of the answer."),
        reason: z.string().describe("For programs: stable. Each operation lists its own."),
        detail: z.string().optional().describe("What is wrong with the body. Names members, never values."),
      })
      .describe("A refusal (RFC 9457)."),
  };
}
