// Lists of hosts that a sender may call: WEB_PUSH_HOSTS and MPNS_HOSTS. No I/O.
import { err, ok, type Result } from "../base/result.ts";
import { HTTPS_PORT, toBareHost } from "../base/url.ts";
import type { SettingsReader } from "./settingsReader.ts";

/** One entry of a list of hosts: `host[:port][;private]`. */
export interface HostRule {
  /** In lower case, as the URL parser writes it. For a wildcard the part after `*.`. */
  readonly host: string;
  /** `*.example.com`: one or more whole labels before `example.com`, and not `example.com` itself. */
  readonly isWildcard: boolean;
  readonly port: number;
  /** The host may resolve to private and loopback addresses: an operator's own push service. */
  readonly isPrivate: boolean;
}

const ENTRY = /^(\*\.)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?(;private)?$/;

/** Reads a comma list of hosts. The error says what is wrong, without the text. */
export function parseHostRules(text: string): Result<readonly HostRule[], string> {
  const rules: HostRule[] = [];
  for (const entry of text.split(",")) {
    const rule = parseHostRule(entry.trim());
    if (rule === undefined) return err("must be a comma list of host[:port][;private], *. for whole labels");
    rules.push(rule);
  }
  return ok(rules);
}

function parseHostRule(entry: string): HostRule | undefined {
  const [, wildcard, name = "", port, isPrivate] = ENTRY.exec(entry) ?? [];
  const url = URL.parse(`https://${name}/`);
  if (url === null || url.hostname !== name.toLowerCase()) return undefined;
  const host = toBareHost(url);
  // A wildcard of a top-level domain would allow nearly everything, and one of an address means nothing.
  if (wildcard !== undefined && (isAddress(url) || !host.includes("."))) return undefined;
  if (host.startsWith(".") || host.endsWith(".") || host.includes("..")) return undefined;
  const portNumber = port === undefined ? HTTPS_PORT : Number(port);
  if (portNumber < 1 || portNumber > 65_535) return undefined;
  return { host, isWildcard: wildcard !== undefined, port: portNumber, isPrivate: isPrivate !== undefined };
}

/**
 * Whether a URL's host is an IP address. `net.isIP` is not used: it compiles a regular expression at its first call, which takes
 * 7 ms of a cold start.
 */
function isAddress({ hostname }: URL): boolean {
  return hostname.startsWith("[") || /^\d+(?:\.\d+){3}$/.test(hostname); // the URL parser rewrites every address to one of these forms
}

/** @param otherwise The list where the setting is missing. */
export function readHostRules(read: SettingsReader, setting: string, otherwise: string): readonly HostRule[] {
  const rules = parseHostRules(read.text(setting) ?? otherwise);
  if (rules.ok) return rules.value;
  read.report(setting, rules.error);
  return [];
}
