// Requests to Azure Table Storage: the SDK brings addresses, credentials and retries, and this file what is sent through
// them. An answer is a status, not an exception; what gets no answer throws StoreUnavailableError.
import { TableServiceClient, type TableServiceClientOptions } from "@azure/data-tables";
import { createPipelineRequest, type HttpMethods, type Pipeline } from "@azure/core-rest-pipeline";
import type { TokenCredential } from "@azure/identity";
import type { Clock } from "../base/clock.ts";
import { createHttpClient } from "../base/httpClient.ts";
import type { Secret } from "../base/secret.ts";
import type { StorageConfig } from "../config/storage.ts";
import { createSharedKeyPolicy, readSharedKey, SDK_POLICY } from "./sharedKey.ts";
import { StoreUnavailableError } from "./store.ts";

export interface TableRequest {
  readonly method: HttpMethods;
  /** Below the account's address. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface TableAnswer {
  readonly status: number;
  readonly text: string;
  readonly header: (name: string) => string | undefined;
}

export interface TableTransport {
  /** The account's address, without a slash at the end. */
  readonly url: string;
  readonly send: (request: TableRequest, signal: AbortSignal) => Promise<TableAnswer>;
}

export interface TransportOptions {
  readonly storage: StorageConfig;
  /** For an endpoint; a connection string brings its own key. */
  readonly credential?: TokenCredential;
  readonly clock: Clock;
  readonly allowLoopback: boolean;
}

/** The first version that takes bearer tokens for tables. */
const API_VERSION = "2020-12-06";
/** What the SDK's own operations need and ours do not: each costs CPU on every call (docs/performance.md). */
const UNUSED_POLICIES = [
  "serializationPolicy",
  "deserializationPolicy",
  "decompressResponsePolicy",
  "formDataPolicy",
  "multipartPolicy",
  "redirectPolicy",
  "proxyPolicy",
  "tracingPolicy",
  "logPolicy",
  "wrapAbortSignalLikePolicy",
  "tablesSecondaryEndpointPolicy",
];

/** @throws Error when the SDK cannot work with the connection string, or an endpoint has no credential. */
export function createTableTransport(options: TransportOptions): TableTransport {
  const { storage, clock, allowLoopback } = options;
  const client = connect(options);
  const pipeline = client.pipeline.clone();
  for (const name of UNUSED_POLICIES) pipeline.removePolicy({ name });
  if ("connectionString" in storage) replaceSignature(pipeline, storage.connectionString);
  // Inside the retries, so that each answer is timed by itself.
  pipeline.addPolicy(createClockPolicy(clock), { afterPhase: "Retry" });
  const httpClient = createHttpClient();
  const url = client.url.replace(/\/$/, "");

  return {
    url,
    send: async ({ method, path, query, headers, body }, signal) => {
      signal.throwIfAborted();
      const search = query === undefined ? "" : `?${new URLSearchParams(query).toString()}`;
      const request = createPipelineRequest({
        url: url + path + search,
        method,
        abortSignal: signal,
        allowInsecureConnection: allowLoopback,
        ...(body === undefined ? {} : { body }),
      });
      request.headers.set("accept", "application/json;odata=minimalmetadata");
      request.headers.set("dataserviceversion", "3.0");
      request.headers.set("x-ms-version", API_VERSION);
      if (body !== undefined) request.headers.set("content-type", "application/json");
      for (const [name, value] of Object.entries(headers ?? {})) request.headers.set(name, value);
      try {
        const response = await pipeline.sendRequest(httpClient, request);
        return {
          status: response.status,
          text: response.bodyAsText ?? "",
          header: (name) => response.headers.get(name),
        };
      } catch (error) {
        signal.throwIfAborted();
        throw new StoreUnavailableError("storage answered nothing", { cause: error });
      }
    },
  };
}

function connect({ storage, credential, allowLoopback }: TransportOptions): TableServiceClient {
  const options: TableServiceClientOptions = {
    allowInsecureConnection: allowLoopback,
    // At most four tries of an operation (R95); each call's own deadline ends them earlier.
    retryOptions: { maxRetries: 3, retryDelayInMs: 200, maxRetryDelayInMs: 2_000 },
  };
  if ("connectionString" in storage)
    return TableServiceClient.fromConnectionString(storage.connectionString.reveal(), options);
  if (credential === undefined) throw new Error("a storage endpoint needs a credential");
  return new TableServiceClient(storage.endpoint, credential, options);
}

/** Replaces the SDK's signing policy. Does nothing for the emulator's short connection string. */
function replaceSignature(pipeline: Pipeline, connectionString: Secret<string>): void {
  const key = readSharedKey(connectionString.reveal());
  if (key !== undefined && pipeline.removePolicy({ name: SDK_POLICY }).length > 0)
    pipeline.addPolicy(createSharedKeyPolicy(key), { phase: "Sign" });
}

type Policy = Parameters<Pipeline["addPolicy"]>[0];

/** Learns the store's time from the `Date` header of each of its answers. */
function createClockPolicy(clock: Clock): Policy {
  return {
    name: "observeStoreDate",
    sendRequest: async (request, next) => {
      const sentAtMs = clock.uncorrectedMs();
      const response = await next(request);
      const date = response.headers.get("date");
      if (date !== undefined) clock.observe(new Date(date), sentAtMs, clock.uncorrectedMs());
      return response;
    },
  };
}
