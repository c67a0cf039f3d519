// npm run package [-- DIRECTORY]: what is deployed and nothing else, in dist/package unless told otherwise: host.json,
// package.json, the bundle, our licence, and the notices of what is bundled. Prints what it holds.
import { copyFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Metafile } from "esbuild";
import { bundleApp } from "./bundle.ts";
import { root } from "./root.ts";

const usual = join(root, "dist/package");
const directory = resolve(process.argv[2] ?? usual);
// What somebody else keeps in a folder is not ours to delete.
if (directory === usual) await rm(directory, { recursive: true, force: true });
await mkdir(directory, { recursive: true });
if ((await readdir(directory)).length > 0) throw new Error(`${directory} is not empty`);
const metafile = await bundleApp(join(directory, "dist"));
await copyFile(join(root, "host.json"), join(directory, "host.json"));
await copyFile(join(root, "LICENSE"), join(directory, "LICENSE"));
await writeFile(join(directory, "package.json"), await readManifest());
await writeFile(join(directory, "THIRD-PARTY-NOTICES.txt"), await readNotices(listPackages(metafile)));

const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((file) =>
  file.isFile(),
);
let total = 0;
for (const { parentPath, name } of files) {
  const path = join(parentPath, name);
  const { size } = await stat(path);
  total += size;
  console.log(`${String(size).padStart(9)}  ${path.slice(directory.length + 1)}`);
}
console.log(`${String(total).padStart(9)}  bytes in ${files.length} files, in ${directory}`);

/** Without scripts and dependencies: everything is in the bundle, and nothing is to be installed. */
async function readManifest(): Promise<string> {
  const { name, version, license, type, main, engines } = JSON.parse(
    await readFile(join(root, "package.json"), "utf8"),
  ) as Readonly<Record<string, unknown>>;
  return `${JSON.stringify({ name, version, private: true, license, type, main, engines }, undefined, 2)}\n`;
}

/** The folders of the packages of which at least one file is in the bundle. */
function listPackages({ outputs }: Metafile): readonly string[] {
  const inputs = Object.values(outputs).flatMap((output) =>
    Object.entries(output.inputs)
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([path]) => path),
  );
  const folders = inputs.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  return [...new Set(folders.filter((folder) => folder !== undefined))].toSorted();
}

async function readNotices(folders: readonly string[]): Promise<string> {
  const notices: string[] = [];
  for (const folder of folders) {
    const { name, version, license } = JSON.parse(
      await readFile(join(root, folder, "package.json"), "utf8"),
    ) as Readonly<Record<string, unknown>>;
    const names = await readdir(join(root, folder));
    const texts = names.filter((file) => /^(?:licen[cs]e|notice|copying)/i.test(file)).toSorted();
    const contents = await Promise.all(texts.map((file) => readFile(join(root, folder, file), "utf8")));
    notices.push(
      [`${String(name)} ${String(version)} (${String(license)})`, ...contents].join("\n\n").trim(),
    );
  }
  return `This bundle holds the following packages.\n\n${notices.join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}
