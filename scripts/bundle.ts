// Makes the bundle that is deployed: main.js, and beside it what is loaded only where there is a managed identity.
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build, type Metafile, type OutputFile } from "esbuild";
import { root } from "./root.ts";

/** Bundles the app, into dist/ unless told otherwise; answers what went in. */
export function bundleApp(directory = join(root, "dist")): Promise<Metafile> {
  return bundle("functions/main.ts", directory);
}

/** Bundles an entry into a directory, which holds nothing else afterwards; answers what went in. */
export async function bundle(entry: string, directory: string): Promise<Metafile> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: { main: entry },
    outdir: directory,
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    target: "node22",
    format: "esm",
    splitting: true, // a dynamic import is a file of its own
    minify: true,
    keepNames: true, // class names of library errors stay what they are
    legalComments: "none", // the notices of what is bundled go into the package, not into the code
    external: ["@azure/functions-core"], // supplied by the Functions worker; it is no npm package
    alias: { open: join(root, "scripts/noBrowser.ts"), semver: join(root, "scripts/newNode.ts") },
    banner: {
      // @azure/functions is CommonJS and calls require() for Node's own modules.
      js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);`,
    },
    logLevel: "warning",
  });
  await mkdir(directory, { recursive: true });
  await replaceFiles(directory, outputFiles);
  const made = new Set(outputFiles.map(({ path }) => basename(path)));
  for (const entryOfDirectory of await readdir(directory, { withFileTypes: true }))
    if (entryOfDirectory.isFile() && !made.has(entryOfDirectory.name))
      await rm(join(directory, entryOfDirectory.name));
  return metafile;
}

/** Each file appears with its whole content: a host may load the bundle at the same time. */
async function replaceFiles(directory: string, files: readonly OutputFile[]): Promise<void> {
  const unfinished = await mkdtemp(join(directory, ".new-"));
  try {
    for (const { path, contents } of files) {
      const written = join(unfinished, basename(path));
      await writeFile(written, contents);
      await rename(written, path);
    }
  } finally {
    await rm(unfinished, { recursive: true });
  }
}
