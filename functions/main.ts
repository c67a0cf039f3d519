// What the Functions host loads: settings, service, registration. A setting that is missing or unsafe stops here.
import { app } from "@azure/functions";
import type { TokenCredential } from "@azure/identity";
import { createTokenVerifier } from "../shared/auth/token.ts";
import { createClock } from "../shared/clock.ts";
import { parseConfig, toFaultText } from "../shared/config.ts";
import { createKeyring } from "../shared/crypto/keyring.ts";
import { createLocalKeyWrapper } from "../shared/crypto/kek.ts";
import { createLog } from "../shared/log.ts";
import { createHubSender } from "../shared/push/hub.ts";
import { createService } from "../shared/service.ts";
import { createTables } from "../shared/store/table.ts";
import { createTableStore } from "../shared/store/tableStore.ts";
import { type HandlerOptions, toHttpHandler } from "./handler.ts";
import { createRoutes } from "./routes.ts";

const parsed = parseConfig(process.env);
if (!parsed.ok) throw new Error(toFaultText(parsed.error));
const { storage, hub, tokens, senders, localKeks, limits, prompt, allowLoopback } = parsed.value;

// What happens outside any call; the platform captures the console.
const log = createLog((level, line) => console[level](line));
const clock = createClock(log);
const store = createTableStore(
  createTables({ storage, credential: createManagedIdentity(), clock, allowLoopback }),
);
const service = createService({
  store,
  keyring: createKeyring({ rows: store, wrapper: createLocalKeyWrapper(localKeks), clock }),
  hub: createHubSender({
    connectionString: hub.connectionString,
    hubName: hub.name,
    prompt,
    allowLoopback,
    clock,
  }),
  clock,
  limits,
  prompt,
});
const options: HandlerOptions = {
  tokens: createTokenVerifier({
    ...tokens,
    senderRole: senders.role,
    ...(senders.clientIds === undefined ? {} : { senderClientIds: senders.clientIds }),
    allowLoopback,
    log,
    now: clock.now,
  }),
  senderAuth: senders.auth,
};

// Bodies may be chunked, and are counted while they arrive.
app.setup({ enableHttpStream: true });
for (const route of createRoutes(service, limits))
  app.http(route.name, {
    methods: [...route.methods],
    route: route.path,
    // Bearer tokens are checked by the code; a function key, where one is asked, by the host.
    authLevel: route.caller === "sender" && senders.auth === "functionKey" ? "function" : "anonymous",
    handler: toHttpHandler(route, options),
  });

/** Loaded only when a token is asked for: with a connection string it costs nothing. */
function createManagedIdentity(): TokenCredential {
  let credential: Promise<TokenCredential> | undefined;
  return {
    getToken: async (scopes, getTokenOptions) => {
      credential ??= import("@azure/identity").then(
        ({ DefaultAzureCredential }) => new DefaultAzureCredential(),
      );
      return (await credential).getToken(scopes, getTokenOptions);
    },
  };
}
