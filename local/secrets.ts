// The keys of the local stack. They are kept in its directory, so that payloads, tokens and curl lines of an earlier
// start still work.
import { randomBytes } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface Secrets {
  /** For PAYLOAD_LOCAL_KEK. */
  readonly localKek: string;
  /** What a sender presents. */
  readonly functionKey: string;
  /** The issuer's private JSON Web Key; absent until the issuer has made one. */
  readonly signingKey?: Readonly<Record<string, unknown>>;
}

/** Reads the secrets of a directory, or makes new ones. Does not write them. */
export async function readSecrets(directory: string | undefined): Promise<Secrets> {
  if (directory !== undefined)
    try {
      return JSON.parse(await readFile(toPath(directory), "utf8")) as Secrets; // written by writeSecrets
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  return {
    localKek: randomBytes(32).toString("base64"),
    functionKey: randomBytes(24).toString("base64url"),
  };
}

/** Replaces the file as a whole, so that no reader finds half of it. */
export async function writeSecrets(directory: string, secrets: Secrets): Promise<void> {
  const path = toPath(directory);
  await writeFile(`${path}.new`, JSON.stringify(secrets, undefined, 2), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

function toPath(directory: string): string {
  return join(directory, "secrets.json");
}
