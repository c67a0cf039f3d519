// Which addresses pushes may go to: the judgement of a push channel's URL by the list of allowed hosts
// (config/hostRules.ts), and the judgement of the addresses that its host resolves to. A push channel comes from a user, and
// the service must not be talked into calling an inner network (SSRF; R130 to R133). No I/O.
import { BlockList, isIP } from "node:net";
import { err, ok, type Result } from "../base/result.ts";
import { isNormalised, toBareHost, toPort } from "../base/url.ts";
import type { HostRule } from "../config/hostRules.ts";

/** A URL that pushes may go to, and the rule that allows it. */
export interface AllowedUrl {
  readonly url: URL;
  readonly rule: HostRule;
}

/** What a push channel's URL breaks, in words for whoever registers it. They hold nothing of the URL. */
export type UrlRefusal =
  | "must be a normalised https URL"
  | "must not contain user information or a fragment"
  | "must be of a push service on the list of allowed hosts";

/**
 * Judges a push channel's URL by its text alone (R130 to R132): before any name look-up. A literal address is refused
 * unless the list has exactly that address.
 */
export function judgeUrl(text: string, rules: readonly HostRule[]): Result<AllowedUrl, UrlRefusal> {
  const url = URL.parse(text);
  if (url === null || url.protocol !== "https:") return err("must be a normalised https URL");
  if (!isNormalised(text, url)) return err("must be a normalised https URL");
  if (url.username !== "" || url.password !== "" || url.hash !== "" || text.includes("#"))
    return err("must not contain user information or a fragment");
  const rule = findRule(toBareHost(url), toPort(url), rules);
  return rule === undefined
    ? err("must be of a push service on the list of allowed hosts")
    : ok({ url, rule });
}

/** The first rule for a host (as `toBareHost` writes it) and a port. */
function findRule(host: string, port: number, rules: readonly HostRule[]): HostRule | undefined {
  return rules.find((rule) => rule.port === port && isMatch(host, rule));
}

function isMatch(host: string, rule: HostRule): boolean {
  if (!rule.isWildcard) return host === rule.host;
  return isIP(host) === 0 && host.length > rule.host.length + 1 && host.endsWith(`.${rule.host}`);
}

/** Whether pushes may be sent to an address that a host resolved to. */
export function isAllowedAddress(address: string, rule: HostRule): boolean {
  return isIP(address) !== 0 && (rule.isPrivate || isPublicAddress(address));
}

// IANA's registries of special-purpose addresses, and Azure's own.
const NOT_PUBLIC_V4 = [
  "0.0.0.0/8", // this network
  "10.0.0.0/8", // private
  "100.64.0.0/10", // carrier-grade NAT
  "127.0.0.0/8", // loopback
  "168.63.129.16/32", // Azure's platform services
  "169.254.0.0/16", // link-local: metadata services
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments
  "192.0.2.0/24", // documentation
  "192.31.196.0/24", // AS112
  "192.52.193.0/24", // AMT
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16", // private
  "192.175.48.0/24", // AS112
  "198.18.0.0/15", // benchmarks
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
];

/** All that is not global unicast (2000::/3) is refused; these are the parts of it that are not public. */
const NOT_PUBLIC_V6 = [
  "2001::/23", // protocol assignments: Teredo, ORCHID, benchmarks
  "2001:db8::/32", // documentation
  "2002::/16", // 6to4: holds any IPv4 address
  "2620:4f:8000::/48", // AS112
  "3fff::/20", // documentation
];

const notPublic = toBlockList(NOT_PUBLIC_V4, NOT_PUBLIC_V6);
const globalUnicast = toBlockList([], ["2000::/3"]);

/**
 * Whether an address, v4 or v6, is on the public internet. IPv4 inside IPv6 (mapped, NAT64, 6to4, Teredo) never counts
 * as public, whatever it holds.
 */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !notPublic.check(address, "ipv4");
    case 6:
      // A zone (`fe80::1%eth0`) only exists for link-local addresses.
      return (
        !address.includes("%") && globalUnicast.check(address, "ipv6") && !notPublic.check(address, "ipv6")
      );
    default:
      return false;
  }
}

function toBlockList(v4: readonly string[], v6: readonly string[]): BlockList {
  const list = new BlockList();
  const add = (subnet: string, family: "ipv4" | "ipv6") => {
    const [network = "", prefix] = subnet.split("/");
    list.addSubnet(network, Number(prefix), family);
  };
  for (const subnet of v4) add(subnet, "ipv4");
  for (const subnet of v6) add(subnet, "ipv6");
  return list;
}
