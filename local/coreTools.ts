// Finding the Azure Functions Core Tools. No I/O of its own.

/** What to do when they are not installed. `npx func` would fetch an unrelated package of that name. */
export const NO_CORE_TOOLS =
  "The Azure Functions Core Tools are not installed: no `func` is on the PATH. npm ci installs them where it can " +
  "download the Functions host; otherwise install version 4 as Microsoft describes " +
  "(https://learn.microsoft.com/azure/azure-functions/functions-run-local). npm start runs the same bundle without them.";

export interface PathOptions {
  /** Between the folders of a PATH. */
  readonly delimiter: string;
  readonly isExecutable: (path: string) => boolean;
}

/** The path of `func`, or undefined. */
export function findCoreTools(path: string, { delimiter, isExecutable }: PathOptions): string | undefined {
  const files = path
    .split(delimiter)
    .flatMap((folder) => (folder === "" ? [] : [`${folder}/func`, `${folder}/func.cmd`]));
  return files.find(isExecutable);
}
