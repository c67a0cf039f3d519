// host.json, package.json and the settings file (local.settings.json), parsed. No I/O: the text is handed in.
import * as z from "zod";

const HostJson = z.looseObject({
  extensions: z
    .looseObject({
      http: z
        .looseObject({
          routePrefix: z.string().optional(),
          customHeaders: z.record(z.string(), z.string()).optional(),
        })
        .optional(),
    })
    .optional(),
});

export interface HostJsonSettings {
  /** Without slashes at its ends; may be empty. */
  readonly routePrefix: string;
  readonly customHeaders: Readonly<Record<string, string>>;
}

/** @throws Error when it is no JSON of that shape. */
export function parseHostJson(text: string): HostJsonSettings {
  const http = HostJson.parse(JSON.parse(text)).extensions?.http;
  return {
    routePrefix: (http?.routePrefix ?? "api").replace(/^\/+|\/+$/g, ""),
    customHeaders: http?.customHeaders ?? {},
  };
}

const PackageJson = z.looseObject({ main: z.string().optional() });

/** The files to load: `main`, a file or a glob. Without it nothing is loaded. */
export function parseMain(text: string): string | undefined {
  return PackageJson.parse(JSON.parse(text)).main;
}

/** The shape of local.settings.json, and `LocalKeys`, which is ours: the keys that callers present. */
const SettingsFile = z.looseObject({
  IsEncrypted: z.literal(false).optional(),
  Values: z.record(z.string(), z.string()).default({}),
  Host: z
    .looseObject({
      LocalHttpPort: z.int().min(0).max(65_535).optional(),
      CORS: z.string().optional(), // origins, separated by commas, or *
      CORSCredentials: z.boolean().optional(),
    })
    .default({}),
  LocalKeys: z
    .strictObject({ function: z.record(z.string(), z.string()).optional(), master: z.string().optional() })
    .default({}),
});

export type SettingsFile = z.input<typeof SettingsFile>;

/** What the settings file says, as options of the host. */
export interface ParsedSettings {
  readonly settings: Readonly<Record<string, string>>;
  readonly port?: number;
  readonly cors?: { readonly origins: readonly string[]; readonly credentials?: boolean };
  readonly keys?: Readonly<Record<string, string>>;
  readonly masterKey?: string;
}

/** @throws Error that says what is wrong with it, without any value of it. */
export function parseSettingsFile(text: string): ParsedSettings {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("The settings are not JSON."); // the parser's own message quotes them
  }
  const parsed = SettingsFile.safeParse(json);
  if (!parsed.success) {
    const where = parsed.error.issues.map(({ path, code }) => `${path.join(".")} (${code})`);
    throw new Error(`The settings are not of the shape of local.settings.json: ${where.join(", ")}.`);
  }
  const { Values, Host, LocalKeys } = parsed.data;
  const origins = (Host.CORS ?? "")
    .split(",")
    .map((origin) => origin.trim())
    .filter((origin) => origin !== "");
  return {
    settings: Values,
    ...(Host.LocalHttpPort === undefined ? {} : { port: Host.LocalHttpPort }),
    ...(origins.length === 0 ? {} : { cors: { origins, credentials: Host.CORSCredentials ?? false } }),
    ...(LocalKeys.function === undefined ? {} : { keys: LocalKeys.function }),
    ...(LocalKeys.master === undefined ? {} : { masterKey: LocalKeys.master }),
  };
}
