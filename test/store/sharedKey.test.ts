// Signatures with an account's key, beside those of the SDK.
import { createPipelineRequest, type PipelineRequest } from "@azure/core-rest-pipeline";
import { TableServiceClient } from "@azure/data-tables";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createSharedKeyPolicy, readSharedKey, SDK_POLICY } from "../../shared/store/sharedKey.ts";
import { toRowPath } from "../../shared/store/tableEntity.ts";

const KEY = "Zm9yIHRoaXMgdGVzdCBvbmx5";
const CONNECTION = `DefaultEndpointsProtocol=https;AccountName=health;AccountKey=${KEY};EndpointSuffix=core.windows.net`;

interface Signer {
  readonly sendRequest: (
    request: PipelineRequest,
    next: (request: PipelineRequest) => Promise<never>,
  ) => unknown;
}

/** The header fields that a policy adds to a request for this address. */
async function sign(signer: Signer, url: string, date?: string) {
  const request = createPipelineRequest({ url });
  if (date !== undefined) request.headers.set("x-ms-date", date);
  const sent = new Error("signed");
  await expect((async () => signer.sendRequest(request, () => Promise.reject(sent)))()).rejects.toBe(sent);
  return { date: request.headers.get("x-ms-date"), authorization: request.headers.get("authorization") };
}

function ours(connectionString = CONNECTION): Signer {
  const key = readSharedKey(connectionString);
  if (key === undefined) throw new Error("there is no key");
  return createSharedKeyPolicy(key);
}

function theSdks(connectionString = CONNECTION): Signer {
  const { pipeline } = TableServiceClient.fromConnectionString(connectionString);
  const policy = pipeline.getOrderedPolicies().find(({ name }) => name === SDK_POLICY);
  if (policy === undefined) throw new Error("the SDK's policy has another name");
  return policy;
}

async function expectTheSame(url: string): Promise<void> {
  const { date, authorization } = await sign(ours(), url);
  expect(new Date(date ?? "").toUTCString()).toBe(date);
  expect(authorization).toMatch(/^SharedKeyLite health:[A-Za-z0-9+/]{43}=$/);
  expect(authorization).toBe((await sign(theSdks(), url, date)).authorization);
}

test.each([
  "https://health.table.core.windows.net/Tables",
  "https://health.table.core.windows.net/$batch",
  "https://health.table.core.windows.net/outbox?%24filter=PartitionKey+eq+%27a%2Fb%27&%24top=5",
  "https://health.table.core.windows.net",
  "https://health.table.core.windows.net?$top=1",
  "http://127.0.0.1:10002/devstoreaccount1/outbox",
  "http://[::1]:10002/devstoreaccount1/outbox?$top=1",
])("a signature is the SDK's: %s", expectTheSame);

test("a signature is the SDK's whatever the keys of the row are", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme" }), fc.string({ unit: "binary" }), async (partition, row) =>
      expectTheSame(`https://health.table.core.windows.net${toRowPath("outbox", partition, row)}`),
    ),
  );
});

test.each([
  [
    "names in any letter case",
    CONNECTION.replace("AccountKey", "accountKEY").replace("AccountName", " ACCOUNTNAME"),
  ],
  ["the first of equal names", `${CONNECTION};AccountKey=b3RoZXI=;AccountName=other`],
])("a key is read as the SDK reads it: %s", async (_, connectionString) => {
  const url = "https://health.table.core.windows.net/Tables";
  const { date, authorization } = await sign(ours(connectionString), url);
  expect(authorization).toBe((await sign(theSdks(connectionString), url, date)).authorization);
});

test.each([
  "TableEndpoint=https://health.table.core.windows.net;SharedAccessSignature=sv=2020&sig=a",
  "UseDevelopmentStorage=true",
  `${CONNECTION};UseDevelopmentStorage=True`,
])("there is no key to sign with: %s", (connectionString) => {
  expect(readSharedKey(connectionString)).toBeUndefined();
});
