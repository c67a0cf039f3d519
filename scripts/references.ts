// Finds references in documents and comments that lead nowhere: to a missing file, an unknown promise or requirement, or
// something outside the repository. No I/O: the files are handed in.
import { posix } from "node:path";

/** Repository-relative paths, with `/`, and their text. */
export type Files = ReadonlyMap<string, string>;

/** One line for the person who has to fix it: `file:line: what is wrong`. */
type Finding = string;

/** Where a path in a comment may start, beside the root and the folder of the file itself. */
const BASES = ["", "shared", "functions", "local", "test"];

/** `docs/storage.md`, `push/sender.ts`, `pages.ts`; not `*.test.ts`, `$name.ts` or a part of a URL. */
const FILE = /(?<![\w@./:*$}{~-])(?:\.{1,2}\/)*[\w.-]+(?:\/[\w.-]+)*\.(?:ts|md|bicep|bicepparam)(?![\w*-])/g;
const FOLDER =
  /(?<![\w@./:*$}{~-])(?:bench|clients|docs|functions|infra|local|packages|scripts|shared|test)(?:\/[\w.-]+)*\/(?![\w.*$<{…-])/g;
/** `docs/notification-hubs-protocol.md §8.3, §9`: sections are numbered headings. */
const SECTIONS = /(docs\/[\w-]+\.md)`?((?:,? §[\d.]*\d)+)/g;
const LINK = /\]\((?!\w+:)([^)#\s]+)/g;

const OUTSIDE: readonly RegExp[] = [
  /\bdesign\s+notes?\b/i,
  /\bREADME\s+promises?\b/i,
  /\bREST\s+reference\b/,
  /\bthe\s+brief\b/i,
  /(?<!\/[\w.-]+\s)\bissues?\s+#?\d+/i, // `owner/name issue 3` names a public report, and is allowed
  /(?<![\w.])\/(?:work|home|root|Users)\//,
];

/** Everything that is wrong with the references of these files. */
export function findBadReferences(files: Files): readonly Finding[] {
  const known = {
    promises: readNumbers(files.get("docs/promises.md"), /^## P(\d+):/gm),
    requirements: readNumbers(files.get("docs/security-requirements.md"), /^\| (\d+) \|/gm),
  };
  return [
    ...[...files].flatMap(([file, text]) => checkProse(file, text, files)),
    ...[...files].flatMap(([file, text]) => [
      ...checkNumbers(file, text, /\bP(\d{1,2})\b/g, known.promises),
      ...checkNumbers(file, text, /\bR(\d{1,3})\b/g, known.requirements),
    ]),
    ...checkPromiseTests(files),
    ...checkSequence("docs/promises.md", known.promises),
    ...checkSequence("docs/security-requirements.md", known.requirements),
  ];
}

function readNumbers(text: string | undefined, pattern: RegExp): readonly number[] {
  return [...(text ?? "").matchAll(pattern)].map(([, number]) => Number(number));
}

/** A listing in a guide (listings.ts) is a copy of a file, which is checked where it is. */
function blankListings(text: string): string {
  return text.replaceAll(/<!-- listing: \S+ -->\n\n```[^]*?\n```\n/g, (listing) =>
    listing.replaceAll(/.+/g, ""),
  );
}

function checkProse(file: string, text: string, files: Files): readonly Finding[] {
  return blankListings(text)
    .split("\n")
    .flatMap((line, index) => {
      const prose = file.endsWith(".md") ? line : toComment(file, line);
      const missing = [FILE, FOLDER, LINK]
        .flatMap((pattern) => [...prose.matchAll(pattern)].map(([whole, link]) => link ?? whole))
        .filter((path) => !exists(path, file, files))
        .map((path) => `${path} does not exist`);
      const outside = OUTSIDE.flatMap((pattern) => pattern.exec(prose)?.[0] ?? []).map(
        (words) => `"${words}" is not part of this repository`,
      );
      const sections = [...prose.matchAll(SECTIONS)].flatMap(([, path = "", numbers = ""]) =>
        [...numbers.matchAll(/[\d.]+/g)]
          .filter(([number]) => !hasSection(files.get(path) ?? "", number))
          .map(([number]) => `${path} has no section ${number}`),
      );
      return [...missing, ...sections, ...outside].map((what) => `${file}:${index + 1}: ${what}`);
    });
}

function hasSection(text: string, number: string): boolean {
  return text
    .split("\n")
    .some((line) => /^#+ /.test(line) && line.split(" ")[1]?.replace(/\.$/, "") === number);
}

/** The part of a line that is a comment. Strings that hold `//` are rare, and a URL's is not preceded by a space. */
function toComment(file: string, line: string): string {
  if (/^\s*(?:\/\*\*?|\*)(?:\s|$)/.test(line)) return line;
  const start = /\.(?:ts|bicep|bicepparam|js|cs|swift|kt)$/.test(file) ? /(?:^|\s)\/\/\s/ : /(?:^|\s)#\s/;
  const match = start.exec(line);
  return match === null ? "" : line.slice(match.index);
}

function exists(path: string, file: string, files: Files): boolean {
  const bases = [posix.dirname(file), ...BASES];
  const candidates = bases.map((base) => posix.normalize(posix.join(base, path)));
  if (path.startsWith("..")) return isThere(candidates[0] ?? "", files);
  if (candidates.some((candidate) => isThere(candidate, files))) return true;
  // A bare name stands for a file that the reader can find by that name.
  return !path.includes("/") && [...files.keys()].some((name) => posix.basename(name) === path);
}

function isThere(path: string, files: Files): boolean {
  const folder = path.endsWith("/") ? path : `${path}/`;
  return files.has(path) || [...files.keys()].some((name) => name.startsWith(folder));
}

function checkNumbers(
  file: string,
  text: string,
  pattern: RegExp,
  known: readonly number[],
): readonly Finding[] {
  return text
    .split("\n")
    .flatMap((line, index) =>
      [...line.matchAll(pattern)]
        .filter(([, number]) => !known.includes(Number(number)))
        .map(([name]) => `${file}:${index + 1}: ${name} is not a promise or a requirement`),
    );
}

/** Each promise names at least one test file, and every file that it names holds a test of that name. */
function checkPromiseTests(files: Files): readonly Finding[] {
  const sections = (files.get("docs/promises.md") ?? "").split(/^## (?=P\d+:)/m).slice(1);
  return sections.flatMap((section) => {
    const [promise = ""] = section.split(":");
    const paths = [...section.matchAll(/`(test\/[\w./-]+\.ts)`/g)].map(([, path = ""]) => path);
    if (paths.length === 0) return [`docs/promises.md: ${promise} names no test`];
    return paths
      .filter((path) => !new RegExp(`["'\`][^"'\`]*\\b${promise}\\b`).test(files.get(path) ?? ""))
      .map((path) => `docs/promises.md: ${path} holds no test named after ${promise}`);
  });
}

/** The numbers are 1, 2, 3 … without a gap or a repetition. */
function checkSequence(file: string, numbers: readonly number[]): readonly Finding[] {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted.length > 0 && sorted.every((number, index) => number === index + 1)
    ? []
    : [`${file}: the numbers are not 1, 2, 3 … without a gap`];
}
