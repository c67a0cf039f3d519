// Issuers of Microsoft Entra ID: which URLs are such issuers, and the exact text that each kind writes into `iss`.
// No I/O.

/** An issuer of Entra ID belongs to one tenant, and its form tells the version of its tokens. */
export interface EntraIssuer {
  /** A GUID in lower case in every issuer that the settings accept. */
  readonly tenant: string;
  readonly version: "1.0" | "2.0";
}

// Public cloud, US Government, Germany (closed) and China. `login` hosts issue version 2.0, `sts` hosts version 1.0.
const HOSTS: ReadonlySet<string> = new Set([
  "login.microsoftonline.com",
  "sts.windows.net",
  "login.microsoftonline.us",
  "login.microsoftonline.de",
  "sts.microsoftonline.de",
  "login.partner.microsoftonline.cn",
  "login.chinacloudapi.cn",
  "sts.chinacloudapi.cn",
]);
const EXTERNAL_ID_SUFFIX = ".ciamlogin.com";

/** Other names of the public cloud. They answer requests, but no token names them as its issuer. */
const ALIASES: ReadonlySet<string> = new Set([
  "login.windows.net",
  "login.microsoft.com",
  "login-us.microsoftonline.com",
]);

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether Entra ID's rules hold for an issuer: a host of the public cloud, of a sovereign cloud or of External ID. */
export function isEntraIssuer(issuer: string): boolean {
  const url = URL.parse(issuer);
  return url?.protocol === "https:" && (HOSTS.has(url.hostname) || url.hostname.endsWith(EXTERNAL_ID_SUFFIX));
}

/** The tenant and the token version of an issuer; `undefined` if it is not one of Entra ID. */
export function toEntraIssuer(issuer: string): EntraIssuer | undefined {
  if (!isEntraIssuer(issuer)) return undefined;
  const [, tenant = "", version] = new URL(issuer).pathname.split("/");
  return { tenant, version: version === "v2.0" ? "2.0" : "1.0" };
}

/**
 * Refuses an issuer of Entra ID that no token names: `common` and the like, a domain instead of the tenant's ID, a
 * slash too many or too few, an endpoint. With such a setting the app would start and refuse every token. Other
 * issuers pass.
 */
export function checkEntraIssuer(text: string): string | undefined {
  const host = URL.parse(text)?.hostname ?? "";
  if (!isEntraIssuer(text) && !ALIASES.has(host)) return undefined;
  const tenant = toEntraIssuer(text)?.tenant ?? "";
  if (GUID.test(tenant) && text === toIssuerText(host, tenant)) return undefined;
  const form = toIssuerText(host, "TENANT_ID");
  return `must be ${form}, where TENANT_ID is the tenant's GUID in lower case (not common, organizations, consumers or a domain)`;
}

/** The issuer that Entra ID writes into tokens; never holds a host that is not in the lists above. */
function toIssuerText(host: string, tenant: string): string {
  if (host.endsWith(EXTERNAL_ID_SUFFIX)) return `https://${tenant}${EXTERNAL_ID_SUFFIX}/${tenant}/v2.0`;
  if (ALIASES.has(host)) return `https://login.microsoftonline.com/${tenant}/v2.0`;
  return host.startsWith("sts.") ? `https://${host}/${tenant}/` : `https://${host}/${tenant}/v2.0`;
}
