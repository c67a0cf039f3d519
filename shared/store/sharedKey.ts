// Signs requests to Azure Table Storage with an account's key. The SDK's own policy does the same but decodes the key for each
// request, which takes 10 % of the CPU of a send (docs/decisions.md). No I/O.
// Source: learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key (Shared Key Lite, Table service)
import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import type { Pipeline } from "@azure/core-rest-pipeline";
import { isDevelopmentStorage, toConnectionParts } from "../config/storage.ts";

export interface SharedKey {
  readonly account: string;
  readonly key: KeyObject;
}

/**
 * The account key in a connection string; `undefined` for the emulator's short form: the SDK knows that key and ignores the rest of
 * the string.
 */
export function readSharedKey(connectionString: string): SharedKey | undefined {
  if (isDevelopmentStorage(connectionString)) return undefined;
  const parts = toConnectionParts(connectionString);
  const [account, key] = [parts.get("accountname"), parts.get("accountkey")];
  if (account === undefined || key === undefined) return undefined;
  return { account, key: createSecretKey(key, "base64") };
}

/** The SDK's policy that `createSharedKeyPolicy` replaces. */
export const SDK_POLICY = "tablesNamedKeyCredentialPolicy";

/** Signs every attempt with the current time, because storage rejects a date more than 15 minutes old. */
export function createSharedKeyPolicy({ account, key }: SharedKey): Parameters<Pipeline["addPolicy"]>[0] {
  return {
    name: "signWithSharedKey",
    sendRequest: (request, next) => {
      const date = new Date().toUTCString();
      const text = `${date}\n/${account}${toPath(request.url)}`;
      const signature = createHmac("sha256", key).update(text, "utf8").digest("base64");
      request.headers.set("x-ms-date", date);
      request.headers.set("authorization", `SharedKeyLite ${account}:${signature}`);
      return next(request);
    },
  };
}

/** The path of an address, percent-encoded as it is sent. Of the query only `comp` would be signed, and no call has it. */
function toPath(url: string): string {
  const [address = ""] = url.split("?", 1);
  const start = address.indexOf("/", address.indexOf("//") + 2);
  return start < 0 ? "/" : address.slice(start);
}
