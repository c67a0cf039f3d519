// Signs a user in with OpenID Connect: authorization code with PKCE (RFC 7636), for apps that have no library for it.
// The page goes to the issuer and comes back. I/O: HTTPS to the issuer, session storage, navigation.

export interface SignInOptions {
  /** As in the service's AUTH_ISSUER. */
  readonly issuer: string;
  /** Of the app's registration at the issuer. */
  readonly clientId: string;
  /** One that the registration names; it must lead to a page that calls `completeSignIn`. */
  readonly redirectUri: string;
  /** Must include the scope of the service: `openid api://…/Notifications.Read`. */
  readonly scope: string;
}

export interface SignedIn {
  readonly accessToken: string;
  /** The subject of the ID token. */
  readonly userId: string;
  /** What was handed to `startSignIn`. */
  readonly returnTo: string;
}

/** What has to survive the way to the issuer and back. */
interface Started {
  readonly verifier: string;
  readonly returnTo: string;
}

const STORAGE_PREFIX = "secure-push sign-in ";

/** Leaves the page for the issuer. `returnTo` comes back from `completeSignIn`. */
export async function startSignIn(
  options: SignInOptions,
  { returnTo = "", loginHint }: { readonly returnTo?: string; readonly loginHint?: string } = {},
): Promise<void> {
  const verifier = createRandomText();
  const state = createRandomText();
  const started: Started = { verifier, returnTo };
  sessionStorage.setItem(STORAGE_PREFIX + state, JSON.stringify(started));
  const url = new URL((await discover(options.issuer)).authorizationEndpoint);
  const parameters = {
    response_type: "code",
    client_id: options.clientId,
    redirect_uri: options.redirectUri,
    scope: options.scope,
    state,
    code_challenge: await toChallenge(verifier),
    code_challenge_method: "S256",
    ...(loginHint === undefined ? {} : { login_hint: loginHint }),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  location.assign(url);
}

/**
 * Completes a sign-in on the page that the issuer sent the browser to, and removes the code from the address. Returns
 * nothing where the address is not one of a sign-in that this tab has started.
 * @throws Error when the issuer refuses.
 */
export async function completeSignIn(options: SignInOptions): Promise<SignedIn | undefined> {
  const query = new URLSearchParams(location.search);
  const state = query.get("state");
  if (state === null) return undefined;
  history.replaceState(null, "", location.pathname);
  const stored = sessionStorage.getItem(STORAGE_PREFIX + state);
  if (stored === null) return undefined;
  sessionStorage.removeItem(STORAGE_PREFIX + state);
  const { verifier, returnTo } = JSON.parse(stored) as Started; // stored by ourselves
  const code = query.get("code");
  if (code === null) throw new Error(`The issuer refused: ${query.get("error") ?? "no reason"}`);
  const { tokenEndpoint } = await discover(options.issuer);
  const response = await fetch(tokenEndpoint, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code",
      client_id: options.clientId,
      redirect_uri: options.redirectUri,
      code,
      code_verifier: verifier,
    }),
  });
  if (!response.ok) throw new Error(`The issuer refused the code: ${response.status}`);
  const tokens: unknown = await response.json();
  const accessToken = readText(tokens, "access_token");
  // The issuer itself sent the ID token, over TLS: its signature need not be checked (OpenID Connect Core 3.1.3.7).
  const userId = readText(toClaims(readText(tokens, "id_token")), "sub");
  return { accessToken, userId, returnTo };
}

async function discover(issuer: string) {
  const response = await fetch(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (!response.ok) throw new Error(`The issuer cannot be reached: ${response.status}`);
  const configuration: unknown = await response.json();
  return {
    authorizationEndpoint: readText(configuration, "authorization_endpoint"),
    tokenEndpoint: readText(configuration, "token_endpoint"),
  };
}

/** 43 characters of base64url: 32 random bytes (RFC 7636 §4.1). */
function createRandomText(): string {
  return toBase64Url(crypto.getRandomValues(new Uint8Array(32)));
}

/** RFC 7636 §4.2, S256. */
async function toChallenge(verifier: string): Promise<string> {
  return toBase64Url(
    new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))),
  );
}

function toBase64Url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function toClaims(token: string): unknown {
  const [, claims = ""] = token.split(".");
  const bytes = Uint8Array.from(atob(claims.replaceAll("-", "+").replaceAll("_", "/")), (byte) =>
    byte.charCodeAt(0),
  );
  return JSON.parse(new TextDecoder().decode(bytes)) as unknown;
}

function readText(value: unknown, name: string): string {
  const member = (value as Readonly<Record<string, unknown>> | null)?.[name];
  if (typeof member !== "string") throw new Error(`The issuer's answer has no ${name}`);
  return member;
}
