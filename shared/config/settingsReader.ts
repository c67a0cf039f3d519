// Reads single settings: texts, lists, choices, numbers and patterns. No I/O: the environment is handed in.

export type Environment = Readonly<Record<string, string | undefined>>;

/** A setting that is missing or invalid. Never holds the setting's value. */
export interface ConfigError {
  readonly setting: string;
  /** Completes the sentence that starts with the setting's name: "is missing", "must be https". */
  readonly error: string;
}

/** Says what is wrong with a text; `undefined` if nothing is. */
export type Check = (text: string) => string | undefined;

/**
 * Reads settings by name. An empty setting counts as missing. An invalid one is added to `errors`, and the reader
 * returns what it returns for a missing setting, so that one pass finds all errors.
 */
export interface SettingsReader {
  readonly errors: readonly ConfigError[];
  /** Adds an error that concerns several settings; `setting` is the one to change. */
  readonly report: (setting: string, error: string) => void;
  /** Whether the environment has a variable of this name, even an empty one. */
  readonly has: (setting: string) => boolean;
  /** The text as it is, unchecked. Also returns a Key Vault reference that the platform could not resolve. */
  readonly asGiven: (setting: string) => string | undefined;
  readonly text: (setting: string, check?: Check) => string | undefined;
  /** Reports a missing setting, and returns an empty text for it. */
  readonly required: (setting: string, check?: Check) => string;
  /** A comma list. `check` judges each item. */
  readonly list: (setting: string, check: Check) => readonly string[] | undefined;
  /** Reports a missing list, and returns an empty one for it. */
  readonly requiredList: (setting: string, check: Check) => readonly string[];
  readonly choice: <const T extends string>(setting: string, choices: readonly T[], otherwise: T) => T;
  readonly isTrue: (setting: string) => boolean;
  readonly integer: (setting: string, range: IntegerRange) => number;
  /** A regular expression (`u` flag) that has to match a whole text. */
  readonly pattern: (setting: string) => RegExp | undefined;
}

interface IntegerRange {
  readonly lowest: number;
  readonly highest: number;
  readonly otherwise: number;
}

/**
 * A reader over `env` that adds what is wrong to `errors`. A sender whose invalid settings must stop only that sender
 * reads them through a reader with errors of its own.
 */
export function createSettingsReader(env: Environment, errors: ConfigError[]): SettingsReader {
  const source: Source = { env, errors };
  return {
    errors,
    report: (setting, error) => {
      errors.push({ setting, error });
    },
    has: (setting) => env[setting] !== undefined,
    asGiven: (setting) => readAsGiven(source, setting),
    text: (setting, check) => readText(source, setting, check),
    required: (setting, check) => readRequired(source, setting, () => readText(source, setting, check)) ?? "",
    list: (setting, check) => readList(source, setting, check),
    requiredList: (setting, check) =>
      readRequired(source, setting, () => readList(source, setting, check)) ?? [],
    choice: (setting, choices, otherwise) => readChoice(source, setting, choices) ?? otherwise,
    isTrue: (setting) => readChoice(source, setting, ["true", "false"]) === "true",
    integer: (setting, range) => readInteger(source, setting, range),
    pattern: (setting) => readPattern(source, setting),
  };
}

interface Source {
  readonly env: Environment;
  readonly errors: ConfigError[];
}

function readAsGiven({ env }: Source, setting: string): string | undefined {
  const value = env[setting]?.trim();
  return value === "" ? undefined : value;
}

function readText(source: Source, setting: string, check?: Check): string | undefined {
  const value = readAsGiven(source, setting);
  if (value === undefined) return undefined;
  // The platform keeps the reference as the value when it cannot read the secret.
  const error = value.startsWith("@Microsoft.KeyVault(")
    ? "is a Key Vault reference that the platform could not resolve (does the app's identity have access?)"
    : check?.(value);
  if (error === undefined) return value;
  source.errors.push({ setting, error });
  return undefined;
}

function readRequired<T>(source: Source, setting: string, read: () => T | undefined): T | undefined {
  const before = source.errors.length;
  const value = read();
  if (value === undefined && source.errors.length === before)
    source.errors.push({ setting, error: "is missing" });
  return value;
}

function readList(source: Source, setting: string, check: Check): readonly string[] | undefined {
  const firstError = (text: string) =>
    toItems(text)
      .map(check)
      .find((error) => error !== undefined);
  const text = readText(source, setting, firstError);
  return text === undefined ? undefined : toItems(text);
}

function toItems(text: string): readonly string[] {
  return text.split(",").map((item) => item.trim());
}

function readChoice<const T extends string>(
  source: Source,
  setting: string,
  choices: readonly T[],
): T | undefined {
  const value = readText(source, setting, (given) =>
    choices.some((choice) => choice === given) ? undefined : `must be one of ${choices.join(", ")}`,
  );
  return choices.find((choice) => choice === value);
}

function readInteger(source: Source, setting: string, { lowest, highest, otherwise }: IntegerRange): number {
  const value = readText(source, setting, (given) =>
    /^\d{1,9}$/.test(given) && Number(given) >= lowest && Number(given) <= highest
      ? undefined
      : `must be a whole number from ${lowest} to ${highest}`,
  );
  return value === undefined ? otherwise : Number(value);
}

function readPattern(source: Source, setting: string): RegExp | undefined {
  const value = readText(source, setting, (given) => {
    try {
      // Compiled alone first: unbalanced brackets could otherwise close the group below and undo the anchors.
      return void new RegExp(given, "u");
    } catch {
      return "must be a regular expression";
    }
  });
  return value === undefined ? undefined : new RegExp(`^(?:${value})$`, "u");
}
