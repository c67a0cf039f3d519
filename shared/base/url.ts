// Rules for the URLs that the service may call. No I/O.

/** Whether a URL's host is this machine: `localhost`, 127.0.0.0/8 or `::1`. */
export function isLoopback(url: URL): boolean {
  return url.hostname === "localhost" || url.hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(url.hostname);
}

/** Whether the service may call a URL: https anywhere, plain http to this machine only, and only where allowed. */
export function isSecure(url: URL, allowLoopback: boolean): boolean {
  return url.protocol === "https:" || (url.protocol === "http:" && allowLoopback && isLoopback(url));
}

/** Whether a URL has only a scheme, a host, a port and a path: no query, fragment, user name or password. */
export function isBare({ search, hash, username, password }: URL): boolean {
  return [search, hash, username, password].every((part) => part === "");
}

/**
 * Whether a text is what the URL parser writes, but for the case of letters and the slash of an empty path. Whatever the
 * parser changed (other digits, backslashes, tabs) could be read differently elsewhere (R131).
 */
export function isNormalised(text: string, { href }: URL): boolean {
  return [text, `${text}/`].some((form) => form.toLowerCase() === href.toLowerCase());
}

/** The host without the brackets of an IPv6 address. */
export function toBareHost({ hostname }: URL): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

export const HTTPS_PORT = 443;

/** The port of an https URL. */
export function toPort({ port }: URL): number {
  return port === "" ? HTTPS_PORT : Number(port);
}
