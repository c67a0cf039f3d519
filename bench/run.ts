// Runs the benchmarks and keeps their results in a README beside this file: all of them (npm run bench), or those named
// (npm run bench -- outbox webPush). Each is a script of its own that prints what it measured. At the end comes the table of
// goals. A benchmark that fails ends the run.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { RESULT, type Result } from "./helpers/report.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));
const file = `${folder}README.md`;
const HEAD =
  "# Benchmarks\n\nWritten by `npm run bench`. Each section holds its last run, with every raw value.";
const GOALS = "Goals";
const GOALS_HEAD = "| what | goal | measured | met |\n| --- | --- | --- | --- |";

const all = readdirSync(folder)
  .filter((name) => name.endsWith(".ts") && name !== "run.ts")
  .map((name) => name.slice(0, -".ts".length));
const named = process.argv.slice(2);
const unknown = named.find((name) => !all.includes(name));
if (unknown !== undefined) throw new Error(`no benchmark ${unknown}; there are ${all.join(", ")}`);

const sections = readSections();
const rows: string[] = [];
for (const name of named.length > 0 ? named : all) {
  console.log(`\n## ${name}\n`);
  const { lines, results } = await run(name);
  rows.push(...results.map(toRow));
  sections.set(name, toSection(lines, results));
  await writeSections(); // after each, so that a run that fails loses nothing
}
console.log(`\n## ${GOALS}\n\n${[GOALS_HEAD, ...rows].join("\n")}`);

interface Output {
  readonly lines: readonly string[];
  readonly results: readonly Result[];
}

async function run(name: string): Promise<Output> {
  const child = spawn(process.execPath, [`${folder}${name}.ts`], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  const results: Result[] = [];
  const ended = once(child, "close");
  for await (const line of createInterface({ input: child.stdout }))
    if (line.startsWith(RESULT)) results.push(JSON.parse(line.slice(RESULT.length)) as Result);
    else {
      console.log(line);
      lines.push(line);
    }
  await ended;
  if (child.exitCode !== 0)
    throw new Error(`${name} ended with ${String(child.signalCode ?? child.exitCode)}`);
  return { lines, results };
}

function toRow({ what, goal, measured, isMet }: Result): string {
  return `| ${[what, goal, measured, isMet ? "yes" : `no: ${toDistance(goal, measured)}`].join(" | ")} |`;
}

/** How far the measured value is from the limit. */
function toDistance(goal: string, measured: string): string {
  const limit = Number.parseFloat(goal.slice(2));
  return `${(Number.parseFloat(measured) / limit).toFixed(2)} times the goal`;
}

/** Tables stay tables; other lines are shown as they are. */
function toSection(lines: readonly string[], results: readonly Result[]): string {
  const blocks = lines
    .join("\n")
    .split(/\n\n+/)
    .map((block) => block.trim())
    .filter((block) => block !== "")
    .map((block) => (block.startsWith("|") ? block : `\`\`\`text\n${block}\n\`\`\``));
  const machine = `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${cpus().length} cores`;
  const goals = results.length === 0 ? [] : [[GOALS_HEAD, ...results.map(toRow)].join("\n")];
  return [machine, ...blocks, ...goals].join("\n\n");
}

function readSections(): Map<string, string> {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const parts = text.split(/^## /m).slice(1);
  const known = parts.map((part): [string, string] => {
    const end = part.indexOf("\n");
    return [part.slice(0, end), part.slice(end).trim()];
  });
  return new Map(known.filter(([name]) => all.includes(name)));
}

async function writeSections(): Promise<void> {
  const sorted = [...sections].toSorted(([a], [b]) => a.localeCompare(b));
  const goals = sorted.flatMap(([, section]) => listGoals(section));
  const text = [
    HEAD,
    `## ${GOALS}`,
    [GOALS_HEAD, ...goals].join("\n"),
    ...sorted.map(([name, section]) => `## ${name}\n\n${section}`),
  ].join("\n\n");
  const config = await resolveConfig(file);
  writeFileSync(file, await format(text, { ...config, parser: "markdown" }));
}

/** The rows of a section's table of goals, which is its last table. */
function listGoals(section: string): readonly string[] {
  const lines = section.split("\n");
  const start = lines.findIndex((line) => /^\| what +\| goal +\| measured +\|/.test(line));
  return start < 0 ? [] : lines.slice(start + 2).filter((line) => line.startsWith("|"));
}
