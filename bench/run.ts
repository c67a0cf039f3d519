// Runs the benchmarks and keeps their results in a README beside this file: all of them (npm run bench), or those named
// (npm run bench -- outbox webPush). Each is a script of its own that prints what it measured.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";

const HELPERS = new Set(["run", "report", "children"]);
const folder = fileURLToPath(new URL(".", import.meta.url));
const file = `${folder}README.md`;
const all = readdirSync(folder)
  .filter((name) => name.endsWith(".ts"))
  .map((name) => name.slice(0, -".ts".length))
  .filter((name) => !HELPERS.has(name));

const named = process.argv.slice(2);
const unknown = named.find((name) => !all.includes(name));
if (unknown !== undefined) throw new Error(`no benchmark ${unknown}; there are ${all.join(", ")}`);

for (const name of named.length > 0 ? named : all) {
  console.log(`\n## ${name}\n`);
  const output = await run(name);
  writeFileSync(file, withSection(existsSync(file) ? readFileSync(file, "utf8") : toHead(), name, output));
}

async function run(name: string): Promise<string> {
  const child = spawn(process.execPath, [`${folder}${name}.ts`], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    process.stdout.write(chunk);
    output += chunk.toString("utf8");
  });
  const [code] = (await once(child, "exit")) as readonly unknown[];
  if (code !== 0) throw new Error(`${name} ended with ${String(code)}`);
  return output.trim();
}

function toHead(): string {
  return "# Benchmarks\n\nWritten by `npm run bench`. Each section holds its last run, with every raw value.\n";
}

/** The text with this section in place of an earlier one of the same name, or at the end. */
function withSection(text: string, name: string, output: string): string {
  const [head = "", ...sections] = text.split(/^## /m);
  const isTable = output.startsWith("|") || output.includes("\n|");
  const body = isTable ? output : `\`\`\`\n${output}\n\`\`\``;
  const machine = `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${cpus().length} cores`;
  const section = `${name}\n\n${machine}\n\n${body}\n\n`;
  const others = sections.filter((one) => !one.startsWith(`${name}\n`));
  return [head, ...others, section].join("## ").trimEnd() + "\n";
}
