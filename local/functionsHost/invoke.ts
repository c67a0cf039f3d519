// One invocation through the library's programming model: hooks, handler, answer. What a trigger's data is, and what
// becomes of the answer, is the caller's business (streaming.ts, timers.ts).
import { randomBytes, randomUUID } from "node:crypto";
import type {
  CoreInvocationContext,
  CoreRegistry,
  FunctionCallback,
  HookName,
  LogCategory,
  LogLevel,
  ProgrammingModel,
  RegisteredFunction,
  TypedData,
} from "./coreModule.ts";
import { type HostLog, toErrorText } from "./log.ts";

export interface InvocationInput {
  readonly data: TypedData;
  readonly triggerMetadata?: Readonly<Record<string, TypedData>>;
  /** Default: a new one. */
  readonly invocationId?: string;
  /** Called when the handler's arguments are there: for HTTP, when the library has got the request. */
  readonly onStarted?: () => void;
}

interface HookContext {
  /** One object for each invocation. */
  readonly hookData: object;
  readonly appHookData: object;
  /** Undefined until the library has made the handler's arguments. */
  invocationContext: object | undefined;
}

// What is not readonly here may be replaced by a hook.
interface PreInvocation extends HookContext {
  inputs: readonly unknown[];
  functionCallback: FunctionCallback;
}

interface PostInvocation extends HookContext {
  readonly inputs: readonly unknown[];
  result: unknown;
  error: unknown;
}

interface LogEntry extends HookContext {
  level: LogLevel;
  message: string;
  readonly category: LogCategory;
}

export interface Invoker {
  /**
   * Resolves with what the handler returned, or a hook made of it.
   * @throws whatever the handler or a hook threw, after it was logged: the invocation has failed.
   */
  readonly invoke: (registered: RegisteredFunction, input: InvocationInput) => Promise<unknown>;
  /** Runs the hooks of the app's start or end, one after the other. */
  readonly runAppHooks: (name: "appStart" | "appTerminate", extra?: object) => Promise<void>;
  /** Messages outside an invocation. */
  readonly log: (level: LogLevel, category: LogCategory, message: string) => void;
}

export interface InvokerOptions {
  readonly registry: CoreRegistry;
  readonly log: HostLog;
}

export function createInvoker({ registry, log: hostLog }: InvokerOptions): Invoker {
  const appHookData = {}; // one object for the app's whole life
  const startHookData = {}; // shared by appStart and appTerminate
  return {
    log: (level, category, message) => {
      const context = { hookData: startHookData, appHookData, invocationContext: undefined };
      const logged = runLogHooks(registry, { ...context, level, category, message });
      hostLog.write(logged.level, logged.message);
    },
    runAppHooks: (name, extra = {}) =>
      runHooks(registry, name, { hookData: startHookData, appHookData, ...extra }),
    invoke: async (registered, input) => {
      const { metadata, callback } = registered;
      const scope = { functionName: metadata.name, invocationId: input.invocationId ?? randomUUID() };
      const hookContext: HookContext = { hookData: {}, appHookData, invocationContext: undefined };
      const log: CoreInvocationContext["log"] = (level, category, message) => {
        const logged = runLogHooks(registry, { ...hookContext, level, category, message });
        hostLog.write(logged.level, logged.message, scope);
      };
      const coreContext = createCoreContext(registered, input, scope.invocationId, log);
      try {
        return await runInvocation(registry, {
          coreContext,
          hookContext,
          callback,
          onStarted: input.onStarted,
        });
      } catch (error) {
        hostLog.write("error", `failed: ${toErrorText(error)}`, scope);
        throw error;
      }
    },
  };
}

interface InvocationRun {
  readonly coreContext: CoreInvocationContext;
  readonly hookContext: HookContext;
  readonly callback: FunctionCallback;
  readonly onStarted: InvocationInput["onStarted"];
}

/** Runs the hooks and the handler. Resolves with the answer. */
async function runInvocation(
  registry: CoreRegistry,
  { coreContext, hookContext, callback, onStarted }: InvocationRun,
): Promise<unknown> {
  const invocation = await toModel(registry).getInvocationModel(coreContext);
  const { context, inputs } = await invocation.getArguments();
  hookContext.invocationContext = context;
  onStarted?.();

  const pre: PreInvocation = { ...hookContext, inputs, functionCallback: callback };
  await inState(coreContext, "preInvocationHooks", () => runHooks(registry, "preInvocation", pre));
  const post: PostInvocation = { ...hookContext, inputs: pre.inputs, result: null, error: null };
  try {
    post.result = await inState(coreContext, "invocation", () =>
      invocation.invokeFunction(context, pre.inputs, pre.functionCallback),
    );
  } catch (error) {
    post.error = error;
  }
  await inState(coreContext, "postInvocationHooks", () => runHooks(registry, "postInvocation", post));
  if (post.error !== null && post.error !== undefined) throw post.error;
  await invocation.getResponse(context, post.result); // hands the answer to the library's own server
  return post.result;
}

export function findTrigger({ metadata }: RegisteredFunction) {
  const found = Object.entries(metadata.bindings).find(([, { type }]) => /trigger$/i.test(type));
  if (found === undefined) throw new Error(`The function "${metadata.name}" has no trigger.`);
  const [name, binding] = found;
  return { name, binding };
}

function toModel(registry: CoreRegistry): ProgrammingModel {
  const model = registry.getProgrammingModel();
  if (model === undefined) throw new Error("No programming model: the app has registered nothing.");
  return model;
}

function createCoreContext(
  registered: RegisteredFunction,
  { data, triggerMetadata = {} }: InvocationInput,
  invocationId: string,
  log: CoreInvocationContext["log"],
): CoreInvocationContext {
  const { metadata } = registered;
  return {
    invocationId,
    metadata,
    state: undefined,
    request: {
      invocationId,
      functionId: metadata.name,
      inputData: [{ name: findTrigger(registered).name, data }],
      triggerMetadata,
      traceContext: {
        traceParent: `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-00`,
        traceState: "",
        attributes: {},
      },
    },
    log,
  };
}

async function inState<T>(
  context: CoreInvocationContext,
  state: CoreInvocationContext["state"],
  run: () => Promise<T>,
): Promise<T> {
  context.state = state;
  try {
    return await run();
  } finally {
    context.state = undefined;
  }
}

async function runHooks(registry: CoreRegistry, name: HookName, context: object): Promise<void> {
  for (const hook of registry.getHooks(name)) await hook(context);
}

/** Log hooks run before a message is printed; what they change counts for the app's own messages only. */
function runLogHooks(
  registry: CoreRegistry,
  entry: LogEntry,
): { readonly level: LogLevel; readonly message: string } {
  const { level, message, category } = entry;
  for (const hook of registry.getHooks("log")) hook(entry);
  return category === "user" ? entry : { level, message };
}
