// Where the emulated hub keeps its installations and rules across restarts: one JSON file, replaced as a whole.
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { parseInstallation, type StoredInstallation } from "./installation.ts";
import type { HubRule } from "./sas.ts";

interface HubState {
  readonly rules: readonly HubRule[];
  readonly installations: readonly StoredInstallation[];
}

export interface StateFile {
  /** @throws Error when the file is there but is not one of ours. */
  readonly read: () => Promise<HubState | undefined>;
  /** Resolves once what `current` answers now, or later, is on disk. Saves at the same time share a write. */
  readonly save: (current: () => HubState) => Promise<void>;
}

const File = z.object({
  v: z.literal(1),
  rules: z.array(
    z
      .object({
        name: z.string(),
        primaryKey: z.string(),
        secondaryKey: z.string().optional(),
        rights: z.array(z.enum(["Listen", "Send", "Manage"])),
        level: z.enum(["hub", "namespace"]).optional(),
      })
      .transform(({ secondaryKey, level, ...rule }): HubRule => ({
        ...rule,
        ...(secondaryKey === undefined ? {} : { secondaryKey }),
        ...(level === undefined ? {} : { level }),
      })),
  ),
  installations: z.array(
    z.looseObject({ installationId: z.string(), lastUpdate: z.string(), pushChannelExpired: z.boolean() }),
  ),
});

export function createStateFile(directory: string): StateFile {
  const path = join(directory, "hub.json");
  let writing: Promise<void> = Promise.resolve();
  let waiting: Promise<void> | undefined;

  async function write(state: HubState): Promise<void> {
    // Rule keys and push channels are credentials: for the owner's eyes only.
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const temporary = `${path}.${randomUUID()}.tmp`;
    await writeFile(temporary, JSON.stringify({ v: 1, ...state }, null, 2), { mode: 0o600 });
    await rename(temporary, path);
  }

  async function writeAfter(previous: Promise<void>, current: () => HubState): Promise<void> {
    await previous.catch(() => undefined); // whoever asked for that one has heard of it
    waiting = undefined;
    writing = write(current());
    await writing;
  }

  return {
    read: async () => {
      const text = await readFile(path, "utf8").catch((error: unknown) => {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
        throw error;
      });
      return text === undefined ? undefined : parseState(text, path);
    },
    save: (current) => (waiting ??= writeAfter(writing, current)),
  };
}

function parseState(text: string, path: string): HubState {
  try {
    const file = File.parse(JSON.parse(text));
    const installations = file.installations.map((kept) => {
      const parsed = parseInstallation(kept, kept.installationId);
      if (!parsed.ok) throw new Error(parsed.error.detail);
      const { lastUpdate, pushChannelExpired } = kept;
      return Object.assign(parsed.value, { lastUpdate, pushChannelExpired });
    });
    return { rules: file.rules, installations };
  } catch (cause) {
    throw new Error(`${path} does not hold the state of a hub emulator`, { cause });
  }
}
