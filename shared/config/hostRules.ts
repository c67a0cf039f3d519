// Lists of hosts that a sender may call: WEB_PUSH_HOSTS and MPNS_HOSTS. No I/O.
import { type HostRule, parseHostRules } from "../push/addresses.ts";
import type { SettingsReader } from "./settingsReader.ts";

/** @param otherwise The list where the setting is missing. */
export function readHostRules(read: SettingsReader, setting: string, otherwise: string): readonly HostRule[] {
  const rules = parseHostRules(read.text(setting) ?? otherwise);
  if (rules.ok) return rules.value;
  read.report(setting, rules.error);
  return [];
}
