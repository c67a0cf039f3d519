// The files of the page. Its scripts are bundled from TypeScript when the page starts; nothing is written to disk.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { root } from "../../scripts/root.ts";

export interface Asset {
  readonly contentType: string;
  readonly content: string;
}

const FILES = {
  "/": { file: "page.html", contentType: "text/html; charset=utf-8" },
  "/page.css": { file: "page.css", contentType: "text/css; charset=utf-8" },
  "/icon.svg": { file: "icon.svg", contentType: "image/svg+xml" },
} as const;

const SCRIPTS = {
  "/page.js": "browser/page.ts",
  "/worker.js": "worker/worker.ts",
} as const;

type Entry = readonly [path: string, asset: Asset];

/** By path. */
export async function loadAssets(): Promise<ReadonlyMap<string, Asset>> {
  const directory = join(root, "local/page");
  const files = Object.entries(FILES).map(async ([path, { file, contentType }]): Promise<Entry> => {
    const content = await readFile(join(directory, file), "utf8");
    return [path, { contentType, content }];
  });
  const scripts = Object.entries(SCRIPTS).map(async ([path, file]): Promise<Entry> => {
    const content = await bundleScript(join(directory, file));
    return [path, { contentType: "text/javascript; charset=utf-8", content }];
  });
  return new Map(await Promise.all([...files, ...scripts]));
}

async function bundleScript(file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    logLevel: "warning",
  });
  return outputFiles[0]?.text ?? "";
}
