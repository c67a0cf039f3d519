// The web client in a real browser, as an app uses it: the example of clients/web on an origin of its own, real push events
// through the DevTools protocol, and the running service. The browser's push service is out of reach, so the push manager's
// two methods are replaced in the page; nothing else is.
import { once } from "node:events";
import { createServer, request as sendRequest, type Server } from "node:http";
import { join } from "node:path";
import { build } from "esbuild";
import type { Browser, BrowserContext, Page as Tab, Worker } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toPort } from "../../local/server.ts";
import { createSender, type Sender } from "../../clients/sender/sender.ts";
import type { Stack } from "../../local/stack.ts";
import { root } from "../../scripts/root.ts";
import { deleteAll, findRegistration, type Running } from "../helpers/browser.ts";

const HTML = `<!doctype html><html lang="en"><title>App</title><script src="/app.js" type="module"></script>
<button id="sign-in">Sign in</button><button id="subscribe">Subscribe</button><p id="status"></p></html>`;

let stack: Stack;
let browser: Browser;
let app: Server;
let api: Server;
let url: string;
let isApiAway = false;
let sender: Sender;

/** Long, for a busy machine; it ends as soon as the expectation holds. */
const POLL = { timeout: 20_000 };

/** Another key than the service's: a point on the curve, as a browser would give it back. */
const OTHER_KEY = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

/** Registers the tests; `get` answers what they share with others once it runs. */
export function testWebClient(get: () => Running): void {
  beforeAll(async () => {
    ({ stack, browser } = get());
    sender = createSender({ url: stack.host.url, credential: { functionKey: stack.functionKey } });
    api = await serveApi();
    app = await serveApp();
  });
  afterAll(() => {
    for (const server of [app, api]) server?.closeAllConnections();
    for (const server of [app, api]) server?.close();
  });

  test("signs in, subscribes under the service's key, and shows what a push announces", async () => {
    await using visited = await visit();
    const { tab } = visited;
    await start(tab);
    expect(new Set(await readCalls(tab))).toEqual(new Set([`subscribe ${stack.webPush.vapidPublicKey}`]));
    const before = stack.webPush.received.length;
    const sent = await sender.sendSecure({ to: ["alice"], payload: { text: "Hello, browser." } });
    const pushed = stack.webPush.received.slice(before).map(({ text }) => text);
    expect(pushed).toContain(JSON.stringify({ secureId: sent.id }));
    await deliver(tab, JSON.stringify({ secureId: sent.id }));
    await tab.getByText("Hello, browser.").waitFor();
    await expect.poll(() => listShown(tab), POLL).toEqual([{ body: "Hello, browser.", tag: sent.id }]);
    // The page keeps no token: it is in the worker's database alone.
    expect(await tab.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")).toBe(
      "[{},{}]",
    );
  });

  test("a subscription under another key is ended, and made anew under the service's", async () => {
    await using visited = await visit(OTHER_KEY);
    const { tab } = visited;
    await start(tab);
    const calls = await readCalls(tab);
    expect(calls.slice(0, 2)).toEqual(["unsubscribe", `subscribe ${stack.webPush.vapidPublicKey}`]);
    expect(calls.filter((call) => call === "unsubscribe")).toHaveLength(1);
  });

  test("a push while nobody is signed in shows the generic text; sign-in shows the payload in its place", async () => {
    await using visited = await visit();
    const { tab } = visited;
    await tab.waitForFunction("navigator.serviceWorker.ready");
    const sent = await sender.sendSecure({ to: ["alice"], payload: { text: "Later." } });
    await deliver(tab, JSON.stringify({ secureId: sent.id }));
    await expect
      .poll(() => listShown(tab), POLL)
      .toEqual([{ body: "Open the app to read it.", tag: sent.id }]);
    await start(tab);
    await expect.poll(() => listShown(tab), POLL).toContainEqual({ body: "Later.", tag: sent.id });
  });

  test("without the service a push shows the generic text; the next one brings both", async () => {
    await using visited = await visit();
    const { tab } = visited;
    await start(tab);
    const first = await sender.sendSecure({ to: ["alice"], payload: { text: "First." } });
    const second = await sender.sendSecure({ to: ["alice"], payload: { text: "Second." } });
    isApiAway = true;
    await deliver(tab, JSON.stringify({ secureId: first.id }));
    await expect
      .poll(() => listShown(tab), POLL)
      .toContainEqual({ body: "Open the app to read it.", tag: first.id });
    isApiAway = false;
    await deliver(tab, JSON.stringify({ secureId: second.id }));
    await expect.poll(() => listShown(tab), POLL).toContainEqual({ body: "Second.", tag: second.id });
    await expect.poll(() => listShown(tab), POLL).toContainEqual({ body: "First.", tag: first.id });
  });

  test("a payload that the app cannot read shows the generic text, and holds up nothing", async () => {
    await using visited = await visit();
    const { tab } = visited;
    await start(tab);
    const strange = await sender.sendSecure({ to: ["alice"], payload: null });
    await deliver(tab, JSON.stringify({ secureId: strange.id }));
    const generic = { body: "Open the app to read it.", tag: strange.id };
    await expect.poll(() => listShown(tab), POLL).toContainEqual(generic);
    const next = await sender.sendSecure({ to: ["alice"], payload: { text: "Next." } });
    await deliver(tab, JSON.stringify({ secureId: next.id }));
    await expect.poll(() => listShown(tab), POLL).toContainEqual({ body: "Next.", tag: next.id });
  });

  test("a subscription that the browser replaced is registered in place of the old one", async () => {
    await using visited = await visit();
    const { tab, context } = visited;
    await start(tab);
    const { endpoint, p256dh, auth } = stack.webPush.subscribe(stack.webPush.vapidPublicKey);
    const subscription = JSON.stringify({ endpoint, keys: { p256dh, auth } });
    const registered = context.waitForEvent(
      "response",
      (response) =>
        response.request().method() === "PUT" && response.request().postData()?.includes(endpoint) === true,
    );
    await findWorker(context).evaluate(`{
      const event = new ExtendableEvent("pushsubscriptionchange");
      self.dispatchEvent(Object.assign(event, { newSubscription: { toJSON: () => (${subscription}) } }));
    }`);
    expect((await registered).status()).toBe(200); // renewed: the same installation
    await sender.sendSecure({ to: ["alice"], payload: { text: "To the new one." } });
    expect(stack.webPush.received.map((push) => push.endpoint)).toContain(endpoint);
  });

  test("a click on a notification closes it", async () => {
    await using visited = await visit();
    const { tab, context } = visited;
    await start(tab);
    const sent = await sender.sendSecure({ to: ["alice"], payload: { text: "Click me." } });
    await deliver(tab, JSON.stringify({ secureId: sent.id }));
    await expect.poll(() => listShown(tab), POLL).toContainEqual({ body: "Click me.", tag: sent.id });
    await findWorker(context)
      .evaluate(`self.registration.getNotifications({ tag: "${sent.id}" }).then(([notification]) => {
      self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
    })`);
    await expect.poll(() => listShown(tab), POLL).not.toContainEqual({ body: "Click me.", tag: sent.id });
  });

  test.each([
    { agent: "iPhone", text: "Add this app to the home screen first" },
    { agent: "Linux", text: "This browser has no pushes." },
  ])("without a push manager it says so: $agent", async ({ agent, text }) => {
    await using context = await browser.newContext({
      userAgent: `Mozilla/5.0 (${agent}) Test`,
      permissions: ["notifications"],
    });
    const tab = await context.newPage();
    await tab.addInitScript({ content: "delete ServiceWorkerRegistration.prototype.pushManager" });
    await tab.goto(url);
    await tab.getByText(text).waitFor();
  });
}

/** The service by way of a server that can be taken away. */
async function serveApi(): Promise<Server> {
  const server = createServer((request, response) => {
    if (isApiAway) return void request.socket.destroy();
    const { method, headers } = request;
    const forwarded = sendRequest(
      new URL(request.url ?? "/", stack.host.url),
      { method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    forwarded.on("error", () => response.destroy());
    request.pipe(forwarded);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function toUrl(server: Server): string {
  return `http://localhost:${toPort(server)}/`;
}

async function serveApp(): Promise<Server> {
  const bundle = async (file: string, format: "esm" | "iife") => {
    const entryPoints = [join(root, "clients/web", file)];
    const { outputFiles } = await build({
      entryPoints,
      bundle: true,
      write: false,
      format,
      target: "es2022",
    });
    return { type: "text/javascript", content: outputFiles[0]?.text ?? "" };
  };
  const settings = () => ({
    apiUrl: `${toUrl(api)}api`,
    signIn: {
      issuer: stack.issuer.url,
      clientId: "app",
      redirectUri: url,
      scope: "openid Notifications.Read",
    },
  });
  const files = new Map([
    ["/", { type: "text/html", content: HTML }],
    ["/app.js", await bundle("page/app.ts", "esm")],
    ["/sw.js", await bundle("worker/app.ts", "iife")],
  ]);
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    if (path === "/settings.json") return void response.end(JSON.stringify(settings()));
    const file = files.get(path);
    if (file === undefined) return void response.writeHead(204).end();
    response.writeHead(200, { "content-type": file.type }).end(file.content);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  url = toUrl(server);
  return server;
}

/** A browser whose subscriptions are made at the local push service. `existingKey`: of a subscription from earlier. */
async function visit(existingKey?: string) {
  await deleteAll(stack, "alice"); // what other tests sent would be caught up with
  const context = await browser.newContext({ permissions: ["notifications"] });
  context.setDefaultTimeout(20_000);
  const tab = await context.newPage();
  await tab.exposeFunction("subscribeLocally", (key: string) => stack.webPush.subscribe(key));
  await tab.addInitScript({
    content: `(${replacePushManager.toString()})(${JSON.stringify(existingKey ?? null)})`,
  });
  await tab.goto(url);
  // The browser grants the permission of its context in its own time.
  await tab.waitForFunction("Notification.permission === 'granted'");
  return { tab, context, [Symbol.asyncDispose]: () => context.close() };
}

async function start(tab: Tab): Promise<void> {
  await tab.getByRole("button", { name: "Sign in" }).click();
  await tab.waitForFunction("!location.search && document.getElementById('status').textContent !== ''");
  await tab.getByText("Pushes come to this browser.").waitFor();
}

const readCalls = (tab: Tab) => tab.evaluate<readonly string[]>("globalThis.pushCalls");

async function deliver(tab: Tab, text: string): Promise<void> {
  const protocol = await tab.context().newCDPSession(tab);
  const registrationId = await findRegistration(protocol, "/");
  const origin = new URL(url).origin;
  await protocol.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data: text });
}

const listShown = (tab: Tab) =>
  tab.evaluate<readonly { readonly body: string; readonly tag: string }[]>(`navigator.serviceWorker.ready
      .then((registration) => registration.getNotifications())
      .then((all) => all.map(({ body, tag }) => ({ body, tag })))`);

/** Events that a test dispatches are not trusted: `waitUntil` refuses them, but the work has begun. */
function findWorker(context: BrowserContext): Worker {
  const [worker] = context.serviceWorkers();
  if (worker === undefined) throw new Error("no service worker runs");
  return worker;
}

/** Runs in the page, before its scripts. */
function replacePushManager(existingKey: string | null): void {
  const page = globalThis as unknown as {
    pushCalls: string[];
    subscribeLocally: (key: string) => Promise<{ endpoint: string; p256dh: string; auth: string }>;
    PushManager: { prototype: object };
  };
  page.pushCalls = [];
  const toBytes = (key: string) =>
    Uint8Array.from(atob(key.replaceAll("-", "+").replaceAll("_", "/")), (byte) => byte.charCodeAt(0)).buffer;
  const toSubscription = (key: string, { endpoint, p256dh, auth }: Record<string, string>) => ({
    options: { applicationServerKey: toBytes(key) },
    toJSON: () => ({ endpoint, expirationTime: null, keys: { p256dh, auth } }),
    unsubscribe: () => {
      page.pushCalls.push("unsubscribe");
      current = null;
      return Promise.resolve(true);
    },
  });
  let current: object | null = existingKey === null ? null : toSubscription(existingKey, {});
  Object.assign(page.PushManager.prototype, {
    getSubscription: () => Promise.resolve(current),
    subscribe: async ({ applicationServerKey: key }: { applicationServerKey: string }) => {
      page.pushCalls.push(`subscribe ${key}`);
      current = toSubscription(key, { ...(await page.subscribeLocally(key)) });
      return current;
    },
  });
}
