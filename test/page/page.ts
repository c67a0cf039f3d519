// The page that `npm start` ends with, in a real browser: both sides of the service, and the web client that its devices
// run. One stack and one browser for all tests; each test has a context, and so a profile, of its own.
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import type { Browser, BrowserContext, Locator, Page as Tab } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Page, servePage } from "../../local/page/server.ts";
import type { Stack } from "../../local/stack.ts";
import { deleteAll, findRegistration, type Running } from "../helpers/browser.ts";

const SHOTS = join(tmpdir(), "secure-push-screenshots");
const TIMEOUT_MS = 20_000;
const POLL = { timeout: TIMEOUT_MS };

let stack: Stack;
let page: Page;
let browser: Browser;

/** What must not happen on any page: errors in the console, and exceptions. */
const problems: string[] = [];

interface Visit extends AsyncDisposable {
  readonly tab: Tab;
  readonly context: BrowserContext;
  readonly phone: Locator;
  readonly stranger: Locator;
}

/** Registers the tests; `get` answers what they share with others once it runs. */
export function testPage(get: () => Running): void {
  beforeAll(async () => {
    await mkdir(SHOTS, { recursive: true });
    ({ stack, browser } = get());
    page = await servePage(stack);
  });
  afterAll(() => page?.close());

  test("sign in, send, and the payload is on the screen; receipts follow reading; only the ID travelled (P1)", async () => {
    await using visited = await visit();
    const { tab, phone } = visited;
    await signIn(phone);
    const sent = await send(tab, "Your test result is negative.");
    await phone.locator(".note", { hasText: "Your test result is negative." }).waitFor();
    await sent.locator(".badge.good", { hasText: "accepted" }).waitFor();
    await sent.getByText(/fetched \d/).waitFor();
    await phone.getByRole("button", { name: "Mark read" }).click();
    await sent.getByText(/· read \d/).waitFor();
    await tab.screenshot({ path: join(SHOTS, "received.png"), fullPage: true });

    const missing = tab.locator("#travelled").getByText("✓ The payload is not in it");
    expect(await missing.count()).toBe(1);
    expect(await tab.locator("#stored").getByText("✓ The payload is not in it").count()).toBe(1);
    const id = await sent.locator(".id").textContent();
    expect(await tab.getByRole("region", { name: "Notification Hub: body" }).textContent()).toContain(id);
    expect(await tab.getByRole("region", { name: "Row 1 in Table Storage" }).textContent()).toContain(id);

    await phone.getByRole("button", { name: "Delete" }).click();
    await phone.getByText("The screen is empty.").waitFor();
    await phone.getByRole("button", { name: "Ask for the newest ID" }).click();
    await phone.locator(".note.refused", { hasText: "404" }).waitFor();
    expect(problems).toEqual([]);
  });

  test("a stranger with a valid token of her own is refused, and gets no push (P2, P7)", async () => {
    await using visited = await visit();
    const { tab, phone, stranger } = visited;
    await signIn(phone);
    await signIn(stranger);
    await send(tab, "For Ada alone.");
    await phone.locator(".note", { hasText: "For Ada alone." }).waitFor();
    await stranger.getByRole("button", { name: "Ask for the newest ID" }).click();
    await stranger.locator(".note.refused", { hasText: "404 notification_unknown" }).waitFor();
    expect(await stranger.getByText("For Ada alone.").count()).toBe(0);
    expect(await tab.getByText(/wakes Mallory/).count()).toBe(0);
    await tab.screenshot({ path: join(SHOTS, "stranger.png"), fullPage: true });
  });

  test("after a reload the device is still there, with its screen, and gets pushes", async () => {
    await using visited = await visit();
    const { tab, phone } = visited;
    await signIn(phone);
    await send(tab, "Before.");
    await phone.locator(".note", { hasText: "Before." }).waitFor();
    const renewed = tab.waitForResponse(`${page.url}devices`);
    await tab.reload();
    await renewed;
    await phone.locator(".note", { hasText: "Before." }).waitFor();
    await send(tab, "After.");
    await phone.locator(".note", { hasText: "After." }).waitFor();
    expect(problems).toEqual([]);
  });

  test("a browser gets its pushes as Web Push, encrypted, and decrypts the ID (P1)", async () => {
    await using visited = await visit();
    const { tab } = visited;
    const own = tab.locator('[data-device="adas-browser"]');
    await signIn(own);
    const sent = await send(tab, "For the browser.");
    await own.locator(".note", { hasText: "For the browser." }).waitFor();
    const id = await sent.locator(".id").textContent();
    const region = (name: string) => tab.getByRole("region", { name: `Web Push: ${name}` }).textContent();
    expect(await region("request line and headers")).toMatch(/^POST \/[^]*content-encoding: aes128gcm/);
    expect(await region("body")).toMatch(/^[0-9a-f]{200,}$/);
    expect(await region("on the device")).toBe(JSON.stringify({ secureId: id }));
    expect(stack.webPush.refused).toEqual([]);
    expect(problems).toEqual([]);
  });

  test("an expired token: the generic text, then sign-in, then the payload", async () => {
    await using visited = await visit();
    const { tab, phone } = visited;
    await signIn(phone);
    await phone.getByRole("button", { name: "Let the token expire" }).click();
    await phone.getByText("token expired").waitFor();
    await send(tab, "Your code is 123 456.");
    const generic = phone.locator(".note.generic", { hasText: "You have a new message" });
    await generic.getByText("401 token_rejected").waitFor();
    await tab.screenshot({ path: join(SHOTS, "generic.png"), fullPage: true });
    await phone.getByRole("button", { name: "Sign in again" }).click();
    await phone.locator(".note", { hasText: "Your code is 123 456." }).waitFor();
    expect(await generic.count()).toBe(0);
  });

  test("the push networks away: pending; back: accepted, and on the screen (P3)", async () => {
    await using visited = await visit();
    const { tab, phone } = visited;
    await signIn(phone);
    const networks = tab.getByRole("switch", { name: "Push networks available" });
    await networks.click();
    await tab.getByText("are away").waitFor();
    expect(await networks.getAttribute("aria-checked")).toBe("false");
    const sent = await send(tab, "Patience.");
    await sent.locator(".badge.wait", { hasText: "pending" }).waitFor();
    await tab.screenshot({ path: join(SHOTS, "away.png"), fullPage: true });
    await networks.click();
    await sent.locator(".badge.good", { hasText: "accepted" }).waitFor({ timeout: 50_000 });
    await phone.locator(".note", { hasText: "Patience." }).waitFor();
  });

  test("a push of the browser's own shows a notification; an ID that was seen is dropped", async () => {
    await using visited = await visit(["notifications"]);
    const { tab, phone } = visited;
    await signIn(phone);
    const sent = await send(tab, "Hello from the back end.");
    await phone.locator(".note", { hasText: "Hello from the back end." }).waitFor();
    const id = await sent.locator(".id").textContent();
    const shown = () => listShown(tab);
    await expect
      .poll(shown, POLL)
      .toEqual([{ title: "Secure push", body: "Hello from the back end.", tag: id }]);

    const protocol = await visited.context.newCDPSession(tab);
    const registrationId = await findRegistration(protocol, "/devices/adas-phone/");
    const deliver = (data: string) =>
      protocol.send("ServiceWorker.deliverPushMessage", {
        origin: new URL(page.url).origin,
        registrationId,
        data,
      });
    await deliver(JSON.stringify({ secureId: id }));
    await tab.getByText("has seen this ID already").waitFor();
    expect(await shown()).toHaveLength(1);

    // An ID that is nobody's, and a message that is none: the generic text, which says nothing.
    const unknown = "0N9DZXE61WXQHCZ2TVW7RBD5NK1FH8A4";
    const generic = { title: "You have a new message", body: "Open the app to read it." };
    await deliver(JSON.stringify({ secureId: unknown }));
    // One push after the other: of two that Chromium's tools delivered at once, one was not shown in one run of many.
    await expect.poll(shown, POLL).toContainEqual({ ...generic, tag: unknown });
    await deliver("not JSON");
    await expect.poll(shown, POLL).toContainEqual({ ...generic, tag: "secure-push" });
    expect(await shown()).toHaveLength(3);

    await phone.getByRole("button", { name: "Sign out" }).click();
    await phone.getByText("signed out").waitFor();
    expect(await shown()).toEqual([]);
  });

  test("axe finds nothing, and nothing is wider than the screen: light, dark, phone", async () => {
    await using visited = await visit();
    const { tab, phone } = visited;
    expect(await findInaccessible(tab)).toEqual([]);
    await signIn(phone);
    const word = "a-word-that-is-much-longer-than-a-narrow-screen-can-show-in-one-line-of-text";
    await send(tab, `A payload with ${word}.`);
    await phone.getByRole("button", { name: "Mark read" }).waitFor();
    for (const { name, colorScheme, width } of [
      { name: "light", colorScheme: "light", width: 1400 },
      { name: "dark", colorScheme: "dark", width: 1400 },
      { name: "phone", colorScheme: "light", width: 360 },
    ] as const) {
      await tab.emulateMedia({ colorScheme });
      await tab.setViewportSize({ width, height: 800 });
      expect(await findInaccessible(tab), name).toEqual([]);
      expect(await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), name).toBe(true);
      await tab.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
    }
    expect(problems).toEqual([]);
  });

  test("everything can be done with the keyboard, and the focus stays where the user is", async () => {
    await using visited = await visit();
    const { tab, phone } = visited;
    const press = async (name: string | RegExp) => {
      const button = phone.getByRole("button", { name });
      await button.focus();
      await tab.keyboard.press("Enter");
    };
    await press(/^Sign in/);
    await phone.locator(".badge.good").waitFor();
    await tab.getByLabel("Payload").focus();
    await tab.keyboard.press("Control+A");
    await tab.keyboard.type("Typed.");
    await tab.keyboard.press("Tab"); // urgency
    await tab.keyboard.press("Tab"); // lifetime
    await tab.keyboard.press("Tab");
    await tab.keyboard.press("Enter");
    await phone.locator(".note", { hasText: "Typed." }).waitFor();
    await press("Mark read");
    await phone.locator(".note .badge", { hasText: "read" }).waitFor();
    expect(await tab.evaluate("document.activeElement !== document.body")).toBe(true);
  });

  test("the page's policy allows no other scripts, and its server answers to nobody else", async () => {
    const response = await fetch(page.url);
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|\*|data:/);
    const post = (headers: Record<string, string>) =>
      fetch(`${page.url}send`, {
        method: "POST",
        headers,
        body: JSON.stringify({ to: ["ada"], payload: 1 }),
      });
    expect((await post({})).status).toBe(403);
    expect((await post({ origin: "http://evil.example" })).status).toBe(403);
    expect((await fetch(page.url.replace("localhost", "127.0.0.1"))).status).toBe(421);
    expect((await fetch(`${page.url}settings`)).headers.get("access-control-allow-origin")).toBeNull();
    expect(await (await fetch(`${page.url}settings`)).text()).not.toContain(stack.functionKey);
  });
}

async function visit(permissions: string[] = []): Promise<Visit> {
  problems.length = 0;
  await deleteAll(stack, "ada"); // what other tests sent would be caught up with
  const context = await browser.newContext({ viewport: { width: 1400, height: 1000 }, permissions });
  context.setDefaultTimeout(TIMEOUT_MS);
  const tab = await context.newPage();
  tab.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
  });
  tab.on("pageerror", (error) => problems.push(error.message));
  await tab.goto(page.url);
  const device = (id: string) => tab.locator(`[data-device="${id}"]`);
  await device("adas-phone").waitFor();
  return {
    tab,
    context,
    phone: device("adas-phone"),
    stranger: device("mallorys-phone"),
    [Symbol.asyncDispose]: () => context.close(),
  };
}

async function signIn(device: Locator): Promise<void> {
  await device.getByRole("button", { name: /^Sign in/ }).click();
  await device.locator(".badge.good", { hasText: "signed in as" }).waitFor();
}

async function send(tab: Tab, payload: string): Promise<Locator> {
  await tab.getByLabel("Payload").fill(payload);
  await tab.getByRole("button", { name: "Send", exact: true }).click();
  const sent = tab.getByRole("article", { name: /^Notification/ }).filter({ hasText: payload });
  await sent.waitFor();
  return sent;
}

/** Axe's findings, by rule, for what is on the page now. */
async function findInaccessible(tab: Tab): Promise<unknown> {
  // The protocol's own evaluation is not subject to the page's policy.
  await tab.evaluate(axe.source);
  return tab.evaluate(
    "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))",
  );
}

interface Shown {
  readonly title: string;
  readonly body: string;
  readonly tag: string;
}

/** The notifications that the phone shows. */
function listShown(tab: Tab): Promise<readonly Shown[]> {
  return tab.evaluate(`navigator.serviceWorker.getRegistration("/devices/adas-phone/")
    .then((registration) => registration.getNotifications())
    .then((all) => all.map(({ title, body, tag }) => ({ title, body, tag })))`);
}
