// Rows that only the service makes otherwise, and a store whose writes lose their first answers, for the test that asks.
import { randomBytes } from "node:crypto";
import { onTestFinished } from "vitest";
import type { RecipientKey } from "../../shared/crypto/keyring.ts";
import { createNotificationId, DAY_MS, toDayName, toExpiryDay } from "../../shared/domain/id.ts";
import type { NotificationRow } from "../../shared/store/store.ts";
import { createStoreProxy } from "./store.ts";
import { type ProxiedRequest } from "./faultProxy.ts";
import { createTestStore, type TestStore } from "./store.ts";

// Only the keyring makes these; a test may.
export const toRecipientKey = (text: string) => text as RecipientKey;
export const createRecipientKey = () => toRecipientKey(randomBytes(32).toString("base64url"));

/** One that was made now and lives for a day, but for what is given; its ID says the same. */
export function createNotification(row: Partial<NotificationRow> = {}): NotificationRow {
  const createdAt = row.createdAt ?? new Date();
  const expiresAt = row.expiresAt ?? new Date(createdAt.getTime() + DAY_MS);
  return {
    recipientKey: createRecipientKey(),
    id: createNotificationId(createdAt, expiresAt),
    sealed: randomBytes(100),
    createdAt,
    expiresAt,
    urgency: "normal",
    display: "alert",
    ...row,
  };
}

export const tableOf = ({ id }: Pick<NotificationRow, "id">) => `notifications${toDayName(toExpiryDay(id))}`;

/** One prefix, seen directly and through a proxy that loses the answer of the first try of each write. */
export async function createForgetfulStore(): Promise<{
  readonly direct: TestStore;
  readonly lossy: TestStore;
}> {
  const proxy = await createStoreProxy();
  onTestFinished(proxy.close);
  const seen = new Set<string>();
  proxy.decide = ({ method, path, headers }: ProxiedRequest) => {
    const id = `${method} ${path} ${String(headers["x-ms-client-request-id"])}`;
    if (method === "GET" || path.includes("/Tables") || seen.has(id)) return undefined;
    seen.add(id);
    return { kind: "loseAnswer" };
  };
  const direct = createTestStore();
  return { direct, lossy: createTestStore({ ...direct, connectionString: proxy.connectionString }) };
}
