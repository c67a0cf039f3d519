// Checks that several settings share. Each says what is wrong in words that do not hold the value. No I/O.
import { isBare, isLoopback, isSecure } from "../base/url.ts";
import type { Check } from "./settingsReader.ts";

export const checkVisible: Check = (text) =>
  /^[\x21-\x7e]+$/.test(text) ? undefined : "must be visible ASCII characters without spaces";

/** https, or plain http to this machine where `allowLoopback` says so. */
export function checkScheme(url: URL, allowLoopback: boolean): string | undefined {
  if (isSecure(url, allowLoopback)) return undefined;
  return url.protocol === "http:" && isLoopback(url)
    ? "must be https (plain http to this machine needs ALLOW_LOOPBACK)"
    : "must be https";
}

/** A secure URL without query, fragment, user name and password. */
export function checkEndpoint(text: string, allowLoopback: boolean): string | undefined {
  const url = URL.parse(text);
  if (url === null || !isBare(url)) return "must be a URL without query, fragment or user name";
  return checkScheme(url, allowLoopback);
}
