// The module "@azure/functions-core", which the Node.js worker supplies in Azure: through it the library
// `@azure/functions` hands over what the app registers. Nothing here runs a function.
import Module from "node:module";

export type LogLevel = "trace" | "debug" | "information" | "warning" | "error" | "critical" | "none";
export type LogCategory = "user" | "system" | "customMetric";

export type FunctionCallback = (...inputs: readonly unknown[]) => unknown;

/** One binding: the trigger, `$return`, or an extra input or output. */
export interface Binding {
  readonly type: string;
  readonly direction?: string;
  readonly name?: string;
  readonly route?: string;
  readonly methods?: readonly string[];
  readonly authLevel?: string;
  readonly schedule?: string;
  readonly runOnStartup?: boolean;
}

interface FunctionMetadata {
  readonly name: string;
  readonly functionId?: string;
  readonly bindings: Readonly<Record<string, Binding>>;
}

export interface RegisteredFunction {
  readonly metadata: FunctionMetadata;
  readonly callback: FunctionCallback;
}

/** A value of the worker's protocol: an object with one of these keys. */
export interface TypedData {
  readonly http?: object;
  readonly json?: string;
  readonly string?: string;
}

/** What the host hands to the library for one invocation. */
export interface CoreInvocationContext {
  readonly invocationId: string;
  readonly metadata: FunctionMetadata;
  state: "preInvocationHooks" | "invocation" | "postInvocationHooks" | undefined;
  readonly request: {
    readonly invocationId: string;
    readonly functionId: string;
    readonly inputData: readonly { readonly name: string; readonly data: TypedData }[];
    readonly triggerMetadata: Readonly<Record<string, TypedData>>;
    readonly traceContext: {
      readonly traceParent: string;
      readonly traceState: string;
      readonly attributes: object;
    };
  };
  readonly log: (level: LogLevel, category: LogCategory, message: string) => void;
}

interface InvocationModel {
  readonly getArguments: () => Promise<{ readonly context: object; readonly inputs: readonly unknown[] }>;
  readonly invokeFunction: (
    context: object,
    inputs: readonly unknown[],
    callback: FunctionCallback,
  ) => Promise<unknown>;
  readonly getResponse: (context: object, result: unknown) => Promise<unknown>;
}

/** The library's side: it turns protocol values into a handler's arguments, and its answer back. */
export interface ProgrammingModel {
  readonly getInvocationModel: (context: CoreInvocationContext) => InvocationModel | Promise<InvocationModel>;
  readonly getCapabilities: (capabilities: Record<string, string>) => Promise<Record<string, string>>;
}

const HOOK_NAMES = ["appStart", "appTerminate", "preInvocation", "postInvocation", "log"] as const;
export type HookName = (typeof HOOK_NAMES)[number];
/** The contexts are shared and written to by design: that is how hooks change what happens. */
type HookCallback = (context: object) => unknown;

export interface CoreRegistry {
  /** What `require("@azure/functions-core")` answers. */
  readonly exports: object;
  readonly getProgrammingModel: () => ProgrammingModel | undefined;
  readonly getFunctions: () => readonly RegisteredFunction[];
  readonly getHooks: (name: HookName) => readonly HookCallback[];
  readonly closeRegistration: () => void;
}

export interface CoreRegistryOptions {
  /** Messages of the library and the app outside an invocation. */
  readonly log: (level: LogLevel, category: LogCategory, message: string) => void;
}

export function createCoreRegistry({ log }: CoreRegistryOptions): CoreRegistry {
  let model: ProgrammingModel | undefined;
  let isOpen = true;
  const functions = new Map<string, RegisteredFunction>();
  const hooks = new Map<string, HookCallback[]>(HOOK_NAMES.map((name) => [name, []]));

  return {
    exports: {
      version: "3.0.0", // of the worker and of the host; the library does not read them at present
      hostVersion: "4.0.0",
      Disposable,
      log,
      setProgrammingModel: (next: ProgrammingModel) => {
        model = next; // the last one wins
      },
      getProgrammingModel: () => model,
      registerFunction: (metadata: FunctionMetadata, callback: FunctionCallback) => {
        const id = metadata.functionId ?? metadata.name;
        if (!isOpen) throw new Error(`The function "${id}" can only be registered during app startup.`);
        if (functions.has(id)) throw new Error(`The function "${id}" has already been registered.`);
        functions.set(id, { metadata, callback });
        return new Disposable(() => {
          if (!isOpen) throw new Error(`The function "${id}" can only be removed during app startup.`);
          functions.delete(id);
        });
      },
      registerHook: (name: string, callback: HookCallback) => {
        const list = hooks.get(name);
        if (list === undefined)
          throw Object.assign(new RangeError(`Unrecognized hook "${name}"`), {
            isAzureFunctionsSystemError: true, // by this the library knows that the host is too old for a hook
          });
        list.push(callback);
        return new Disposable(() => {
          const index = list.indexOf(callback);
          if (index !== -1) list.splice(index, 1);
        });
      },
    },
    getProgrammingModel: () => model,
    getFunctions: () => [...functions.values()],
    getHooks: (name) => [...(hooks.get(name) ?? [])],
    closeRegistration: () => {
      isOpen = false;
    },
  };
}

/**
 * Puts the core module in place, as the worker does it. Before the app is loaded: the library asks once and keeps the
 * answer, a negative one too. Only `require` is caught, as in Azure.
 */
export function installCoreModule(registry: CoreRegistry): void {
  // oxlint-disable-next-line typescript/unbound-method -- called with the caller's own `this` below
  const original = Module.prototype.require;
  Module.prototype.require = Object.assign(function (this: Module, id: string): unknown {
    return id === "@azure/functions-core" ? registry.exports : original.call(this, id);
  }, original);
}

class Disposable {
  #dispose: (() => unknown) | undefined;

  constructor(dispose: () => unknown) {
    this.#dispose = dispose;
  }

  static from(...disposables: readonly { readonly dispose: () => unknown }[]): Disposable {
    return new Disposable(() => {
      for (const disposable of disposables) disposable.dispose();
    });
  }

  dispose(): unknown {
    const dispose = this.#dispose;
    this.#dispose = undefined;
    return dispose?.();
  }
}
