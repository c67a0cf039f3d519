// The whole service on one machine, without Azure: the services (services.ts), and a Functions host in a process of its
// own that runs the bundle that is deployed.
import { root } from "../scripts/root.ts";
import { createClosing } from "./closing.ts";
import { type FunctionsHostProcess, startFunctionsHostProcess } from "./functionsHost/process.ts";
import { startOnPort } from "./port.ts";
import {
  createServices,
  type ServicePorts,
  type Services,
  type ServicesOptions,
  toPart,
} from "./services.ts";

export interface Stack extends Services {
  readonly host: FunctionsHostProcess;
}

export interface Ports extends ServicePorts {
  readonly host: number;
}

export interface StackOptions extends ServicesOptions {
  readonly ports?: Partial<Ports>;
  /** Settings of the app that replace or extend the stack's own. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Called with every line that the app and its host write. */
  readonly onLine?: (line: string) => void;
}

/** Starts all parts. If one does not start, those before it are ended again. */
export async function createStack(options: StackOptions = {}): Promise<Stack> {
  const { ports, onLine, onPart } = options;
  const { keep, close } = createClosing();
  try {
    const services = keep(await createServices(options));
    const settings = { ...services.settings, ...options.settings };
    const host = keep(
      await startOnPort(ports?.host, (port) =>
        startFunctionsHostProcess({
          appDirectory: root,
          port,
          settings,
          keys: { default: services.functionKey },
          cors: { origins: ["*"] },
          ...(onLine === undefined ? {} : { onLine }),
        }),
      ),
    );
    onPart?.(toPart("Functions host", host.url, ports?.host));
    return { ...services, settings, host, close };
  } catch (error) {
    await close();
    throw error;
  }
}
