// Fails where a document or a comment refers to something that does not exist (references.ts). Part of `npm run check`.
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { findBadReferences } from "./references.ts";
import { root } from "./root.ts";

/** Made or fetched, and not part of the repository. */
const SKIPPED = /^(?:node_modules|dist|\.local|\.git|\.azure|coverage)$|\/(?:node_modules|bin|obj)$/;
/** What others wrote is not checked. */
const FOREIGN = /^test\/vectors\//;
const READ = /\.(?:ts|md|bicep|bicepparam|ya?ml|sh|js|cs|csproj|swift|kt|html|css)$|^\.ci\/run$/;

const findings = findBadReferences(readFiles(""));
for (const finding of findings) console.error(finding);
if (findings.length > 0) process.exitCode = 1;

/** Files whose text is not checked are there with an empty one: they can be referred to. */
function readFiles(folder: string): Map<string, string> {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  const files = entries.flatMap((entry): readonly (readonly [string, string])[] => {
    const path = join(folder, entry.name).replaceAll(sep, "/");
    if (SKIPPED.test(path)) return [];
    if (entry.isDirectory()) return [...readFiles(path)];
    return [[path, READ.test(path) && !FOREIGN.test(path) ? readFileSync(join(root, path), "utf8") : ""]];
  });
  return new Map(files);
}
