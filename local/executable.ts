// Whether this machine has a program. I/O: file system.
import { accessSync, constants } from "node:fs";

/** Whether this process may execute the file at `path`; false if there is none. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
