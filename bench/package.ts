// Question: how large is the bundle that is deployed, and what does each library cost in it?
// The bundler says how many bytes of each file are in its output, minified. Run: npm run bench -- package
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Metafile } from "esbuild";
import { bundleApp } from "../scripts/bundle.ts";
import { printTable, reportAtMost } from "./helpers/report.ts";

const LIMIT_MB = 1.2;
/** Smaller ones are summed up. */
const SHOWN_BYTES = 5_000;

const directory = await mkdtemp(join(tmpdir(), "secure-push-bench-"));
try {
  print(await bundleApp(directory));
} finally {
  await rm(directory, { recursive: true });
}

function print({ outputs }: Metafile): void {
  const main = sumByPackage(outputs, (path) => path.endsWith("/main.js") || isStatic(outputs, path));
  const everything = sumByPackage(outputs, () => true);
  const total = Object.values(outputs).reduce((all, { bytes }) => all + bytes, 0);
  const shown = [...everything].filter(([, bytes]) => bytes >= SHOWN_BYTES).toSorted((a, b) => b[1] - a[1]);
  const named = shown.reduce((all, [, bytes]) => all + bytes, 0);
  const row = (name: string, bytes: number, atStart: number) => [
    name,
    toKb(bytes),
    `${((100 * bytes) / total).toFixed(1)} %`,
    toKb(atStart),
  ];
  const rows = shown.map(([name, bytes]) => row(name, bytes, main.get(name) ?? 0));
  printTable(
    ["what", "kB", "share", "of it loaded at start, kB"],
    [
      ...rows,
      row("the rest", total - named, sum(main) - shown.reduce((a, [name]) => a + (main.get(name) ?? 0), 0)),
      row("all", total, sum(main)),
    ],
  );
  console.log("");
  reportAtMost({ what: "package, all senders", values: [total / 1e6], unit: " MB" }, LIMIT_MB);
}

/** Bytes in the outputs of each package, and of our own code. */
function sumByPackage(
  outputs: Metafile["outputs"],
  isCounted: (path: string) => boolean,
): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [path, { inputs }] of Object.entries(outputs))
    if (isCounted(path))
      for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
        const name = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? "this repository's own code";
        sums.set(name, (sums.get(name) ?? 0) + bytesInOutput);
      }
  return sums;
}

/** Whether the start loads an output: main.js imports it, directly or through others, other than by `import()`. */
function isStatic(outputs: Metafile["outputs"], wanted: string): boolean {
  const main = Object.keys(outputs).find((path) => path.endsWith("/main.js"));
  const seen = new Set<string>();
  const queue = [main ?? ""];
  for (const path of queue) {
    if (seen.has(path)) continue;
    seen.add(path);
    for (const one of outputs[path]?.imports ?? [])
      if (one.kind === "import-statement" && one.external !== true) queue.push(one.path);
  }
  return seen.has(wanted);
}

function sum(values: ReadonlyMap<string, number>): number {
  return [...values.values()].reduce((a, b) => a + b, 0);
}

function toKb(bytes: number): string {
  return (bytes / 1000).toFixed(0);
}
