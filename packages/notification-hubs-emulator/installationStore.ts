// The installations of the emulated hub, in memory: what stands now, and what tag sends already see. No I/O.
import type { InstallationDocument, StoredInstallation } from "./installation.ts";

export interface InstallationStore {
  readonly get: (installationId: string) => StoredInstallation | undefined;
  readonly put: (document: InstallationDocument, pushChannelExpired?: boolean) => void;
  readonly remove: (installationId: string) => boolean;
  readonly list: () => readonly StoredInstallation[];
  /** What a send to tags sees: with manual visibility, the state at the last `makeVisible`. */
  readonly listVisible: () => readonly StoredInstallation[];
  readonly makeVisible: () => void;
  readonly clear: () => void;
}

export interface InstallationStoreOptions {
  readonly initial: readonly StoredInstallation[];
  readonly visibility: "immediate" | "manual";
  readonly now: () => Date;
}

/** An installation whose expirationTime has come is gone, without anybody removing it. */
export function createInstallationStore(options: InstallationStoreOptions): InstallationStore {
  const { initial, visibility, now } = options;
  const current = new Map(initial.map((installation) => [installation.installationId, installation]));
  let visible: ReadonlyMap<string, StoredInstallation> = new Map(current);

  const isAlive = ({ expirationTime }: StoredInstallation) => Date.parse(expirationTime) > now().getTime();
  const listAlive = (map: ReadonlyMap<string, StoredInstallation>) => [...map.values()].filter(isAlive);

  return {
    get: (installationId) => {
      const found = current.get(installationId);
      return found !== undefined && isAlive(found) ? found : undefined;
    },
    put: (document, pushChannelExpired = false) => {
      // Newest last, also in what is shown to people.
      current.delete(document.installationId);
      const stored = { ...document, pushChannelExpired, lastUpdate: now().toISOString() };
      current.set(document.installationId, stored);
    },
    remove: (installationId) => current.delete(installationId),
    list: () => listAlive(current),
    listVisible: () => listAlive(visibility === "immediate" ? current : visible),
    makeVisible: () => {
      visible = new Map(current);
    },
    clear: () => {
      current.clear();
      visible = new Map();
    },
  };
}
