// Makes the bundle that is deployed: main.js, and beside it what it loads in the background, and what is loaded only where there
// is a managed identity.
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { basename, join } from "node:path";
import * as esbuild from "esbuild";
import type { Metafile, OutputFile, Plugin } from "esbuild";
import { root } from "./root.ts";

/**
 * Bundles the app, into dist/ unless told otherwise; answers what went in. main.js is by itself, so that the start reads one
 * small file; handlers.js and what it loads are read in the background.
 */
export async function bundleApp(directory = join(root, "dist")): Promise<Metafile> {
  const main = await build("functions/main.ts", "main", directory);
  const handlers = await build("functions/handlers.ts", "handlers", directory);
  await write([...main.outputFiles, ...handlers.outputFiles], directory);
  return {
    inputs: { ...main.metafile.inputs, ...handlers.metafile.inputs },
    outputs: { ...main.metafile.outputs, ...handlers.metafile.outputs },
  };
}

/** Bundles an entry into a directory, which holds nothing else afterwards; answers what went in. */
export async function bundle(entry: string, directory: string): Promise<Metafile> {
  const { outputFiles, metafile } = await build(entry, "main", directory);
  await write(outputFiles, directory);
  return metafile;
}

function build(entry: string, name: string, directory: string) {
  return esbuild.build({
    absWorkingDir: root,
    entryPoints: { [name]: entry },
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
    external: [
      "@azure/functions-core", // supplied by the Functions worker; it is no npm package
      "open", // by which @azure/identity would sign a person in through a browser, where there is none
    ],
    plugins: [requireBuiltins(name === "main" ? "all" : "the slowest"), separateHandlers],
    alias: { semver: join(root, "scripts/newNode.ts") },
    banner: {
      // @azure/functions is CommonJS and calls require() for Node's own modules.
      js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);`,
    },
    logLevel: "warning",
  });
}

async function write(outputFiles: readonly OutputFile[], directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await replaceFiles(directory, outputFiles);
  const made = new Set(outputFiles.map(({ path }) => basename(path)));
  for (const entryOfDirectory of await readdir(directory, { withFileTypes: true }))
    if (entryOfDirectory.isFile() && !made.has(entryOfDirectory.name))
      await rm(join(directory, entryOfDirectory.name));
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

/**
 * Node's own modules are required at the start, not imported: an import reads every export, also those that are made when they
 * are first read. In the rest, which is loaded in the background, this is done for the two where it costs most: `node:http`
 * would load all of fetch, and `node:process` would open the standard streams (docs/performance.md, "Cold start").
 */
function requireBuiltins(which: "all" | "the slowest"): Plugin {
  return {
    name: "require builtins",
    setup: (bundler) => {
      const namespace = "builtin";
      bundler.onResolve({ filter: /^(?:node:)?[a-z]\w*(?:\/\w+)?$/ }, ({ path, kind }) => {
        const name = path.replace("node:", "");
        const isWanted = which === "all" ? isBuiltin(path) : name === "http" || name === "process";
        return kind === "import-statement" && isWanted ? { path: `node:${name}`, namespace } : undefined;
      });
      bundler.onLoad({ filter: /./, namespace }, ({ path }) => ({
        contents: `module.exports = require(${JSON.stringify(path)});`,
      }));
    },
  };
}

/** What main.ts loads later is a bundle of its own. */
const separateHandlers: Plugin = {
  name: "separate handlers",
  setup: (bundler) => {
    bundler.onResolve({ filter: /^\.\/handlers\.ts$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: "./handlers.js", external: true } : undefined,
    );
  },
};
