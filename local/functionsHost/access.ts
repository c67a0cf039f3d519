// Who may call: function keys, the master key, and CORS for browsers. No I/O.
import { createHash, timingSafeEqual } from "node:crypto";
import type { HeaderPairs } from "./httpCall.ts";

export interface KeyOptions {
  /** Function keys by name. */
  readonly keys?: Readonly<Record<string, string>>;
  readonly masterKey?: string;
}

export interface KeyCheck {
  /** With no key configured nobody gets past `function` or `admin`. */
  readonly isAllowed: (level: "anonymous" | "function" | "admin", presented: string | undefined) => boolean;
}

export function createKeyCheck({ keys = {}, masterKey }: KeyOptions): KeyCheck {
  const master = masterKey === undefined ? [] : [toDigest(masterKey)];
  const accepted = {
    function: [...Object.values(keys).map(toDigest), ...master],
    admin: master,
  };
  return {
    isAllowed: (level, presented) => {
      if (level === "anonymous") return true;
      if (presented === undefined || presented === "") return false;
      const digest = toDigest(presented);
      return accepted[level].some((key) => timingSafeEqual(key, digest));
    },
  };
}

function toDigest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/** The header goes before the query. */
export function findKey(headers: Readonly<Record<string, string>>, url: URL): string | undefined {
  return headers["x-functions-key"] ?? url.searchParams.get("code") ?? undefined;
}

export interface CorsOptions {
  /** As browsers send them, or `*`. */
  readonly origins: readonly string[];
  readonly credentials?: boolean;
}

export interface Cors {
  /** For every answer to this request. */
  readonly toHeaders: (origin: string | undefined) => HeaderPairs;
  /** For the answer to a preflight, on top of those. */
  readonly toPreflightHeaders: (headers: Readonly<Record<string, string>>) => HeaderPairs;
}

/** @throws Error for `*` with credentials, which browsers and the real host refuse. */
export function createCors({ origins, credentials = false }: CorsOptions): Cors {
  const isAny = origins.includes("*");
  if (isAny && credentials) throw new Error("CORS: * does not go together with credentials.");
  const allowed = new Set(origins.map((origin) => origin.replace(/\/$/, "").toLowerCase()));
  const isAllowed = (origin: string | undefined): origin is string =>
    origin !== undefined && (isAny || allowed.has(origin.toLowerCase()));
  const vary: HeaderPairs = isAny ? [] : [["vary", "Origin"]];

  return {
    toHeaders: (origin) => {
      if (!isAllowed(origin)) return vary;
      return [
        ["access-control-allow-origin", isAny ? "*" : origin],
        ...(credentials ? [["access-control-allow-credentials", "true"] as const] : []),
        ...vary,
      ];
    },
    toPreflightHeaders: (headers) => {
      if (!isAllowed(headers["origin"])) return [];
      const method = headers["access-control-request-method"] ?? "";
      const asked = headers["access-control-request-headers"];
      return [
        ["access-control-allow-methods", method],
        ...(asked === undefined ? [] : [["access-control-allow-headers", asked] as const]),
      ];
    },
  };
}

export function isPreflight(method: string, headers: Readonly<Record<string, string>>): boolean {
  return (
    method === "OPTIONS" &&
    headers["origin"] !== undefined &&
    headers["access-control-request-method"] !== undefined
  );
}
