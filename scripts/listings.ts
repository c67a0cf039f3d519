// Puts the listings into the guides: in docs/, the code block after `<!-- listing: PATH -->` is the file at PATH. With
// `--check` it writes nothing, and fails where a guide differs from its files. Part of `npm run check`.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { root } from "./root.ts";

const LISTING = /<!-- listing: (\S+) -->\n\n```(\w+)\n(?:[^]*?\n)??```\n/g;

const isCheck = process.argv.includes("--check");
const docs = join(root, "docs");
for (const name of (await readdir(docs)).filter((file) => file.endsWith(".md"))) {
  const path = join(docs, name);
  const text = await readFile(path, "utf8");
  const included = await include(text);
  if (included === text) continue;
  if (isCheck) {
    console.error(`docs/${name}: a listing differs from its file. Run: node scripts/listings.ts`);
    process.exitCode = 1;
  } else await writeFile(path, included);
}

async function include(text: string): Promise<string> {
  const files = new Map<string, string>();
  for (const [, file = ""] of text.matchAll(LISTING))
    files.set(file, await readFile(join(root, file), "utf8"));
  return text.replaceAll(LISTING, (_block, file: string, language: string) => {
    const content = (files.get(file) ?? "").trimEnd();
    return `<!-- listing: ${file} -->\n\n\`\`\`${language}\n${content}\n\`\`\`\n`;
  });
}
