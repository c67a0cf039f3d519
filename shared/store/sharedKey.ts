// Signs requests to Azure Table Storage with an account's key. The SDK's own policy does the same, but reads the key anew for
// each request, which costs more than everything else that the SDK does for it (docs/performance.md). No I/O.
// Source: learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key (Shared Key Lite, Table service)
import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import type { Pipeline } from "@azure/core-rest-pipeline";
import { isDevelopmentStorage, toConnectionParts } from "../config/storage.ts";

export interface SharedKey {
  readonly account: string;
  readonly key: KeyObject;
}

/** The key that a connection string holds. Where it names the emulator, the SDK ignores the rest, and knows the emulator's key. */
export function readSharedKey(connectionString: string): SharedKey | undefined {
  if (isDevelopmentStorage(connectionString)) return undefined;
  const parts = toConnectionParts(connectionString);
  const [account, key] = [parts.get("accountname"), parts.get("accountkey")];
  if (account === undefined || key === undefined) return undefined;
  return { account, key: createSecretKey(key, "base64") };
}

/** The SDK's policy that `createSharedKeyPolicy` replaces. */
export const SDK_POLICY = "tablesNamedKeyCredentialPolicy";

/** Signs each try of a request by itself, with the time at which it is made: the store takes no older than 15 minutes. */
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

/** An address's path, percent-encoded as it is sent. The query is not signed: of it, only `comp` would be, which no call has. */
function toPath(url: string): string {
  const [address = ""] = url.split("?", 1);
  return address.slice(address.indexOf("/", address.indexOf("//") + 2));
}
