// Reading single settings: absent, empty and unresolved ones, lists, choices and numbers. No I/O: the environment is
// handed in.

export type Environment = Readonly<Record<string, string | undefined>>;

/** Names the setting, and never its value. */
export interface ConfigError {
  readonly setting: string;
  readonly fault: string;
}

/** What is wrong with a text, or nothing. */
export type Check = (text: string) => string | undefined;

export type SettingsReader = ReturnType<typeof createSettingsReader>;

/** Reads settings by name. What is wrong goes to `faults`, and a harmless value stands in for it. */
export function createSettingsReader(env: Environment, faults: ConfigError[]) {
  /** Whatever it holds, an unresolved reference too: for what is judged later, and must not stop the start. */
  const asGiven = (setting: string): string | undefined => {
    const value = env[setting]?.trim();
    return value === "" ? undefined : value;
  };
  const text = (setting: string, check?: Check): string | undefined => {
    const value = asGiven(setting);
    if (value === undefined) return undefined;
    // The platform leaves the reference itself in place when it cannot read the secret.
    const fault = value.startsWith("@Microsoft.KeyVault(")
      ? "is a Key Vault reference that the platform could not resolve (does the app's identity have access?)"
      : check?.(value);
    if (fault === undefined) return value;
    faults.push({ setting, fault });
    return undefined;
  };
  const required = (setting: string, check?: Check): string => {
    const before = faults.length;
    const value = text(setting, check);
    if (value === undefined && faults.length === before) faults.push({ setting, fault: "is missing" });
    return value ?? "";
  };
  const list = (setting: string, check: Check): readonly string[] | undefined =>
    toList(
      text(setting, (value) =>
        toList(value)
          ?.map(check)
          .find((fault) => fault !== undefined),
      ),
    );
  return {
    asGiven,
    text,
    required,
    list,
    requiredList: (setting: string, check: Check): readonly string[] => {
      const before = faults.length;
      const items = list(setting, check);
      if (items === undefined && faults.length === before) faults.push({ setting, fault: "is missing" });
      return items ?? [];
    },
    choice: <const T extends string>(setting: string, choices: readonly T[], otherwise: T): T => {
      const value = text(setting, (given) =>
        choices.some((choice) => choice === given) ? undefined : `must be one of ${choices.join(", ")}`,
      );
      return choices.find((choice) => choice === value) ?? otherwise;
    },
    integer: (setting: string, lowest: number, highest: number, otherwise: number): number => {
      const value = text(setting, (given) =>
        /^\d{1,9}$/.test(given) && Number(given) >= lowest && Number(given) <= highest
          ? undefined
          : `must be a whole number from ${lowest} to ${highest}`,
      );
      return value === undefined ? otherwise : Number(value);
    },
    pattern: (setting: string): RegExp | undefined => {
      const value = text(setting, (given) => {
        try {
          return void new RegExp(given, "u"); // by itself: brackets that close ours would undo the anchors
        } catch {
          return "is not a regular expression";
        }
      });
      return value === undefined ? undefined : new RegExp(`^(?:${value})$`, "u");
    },
  };
}

function toList(text: string | undefined): readonly string[] | undefined {
  return text?.split(",").map((item) => item.trim());
}
