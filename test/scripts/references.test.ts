// What `npm run check` says of references that lead nowhere.
import { expect, test } from "vitest";
import { findBadReferences } from "../../scripts/references.ts";

const sound = {
  "docs/promises.md": "## P1: One\n\nTests: `test/one.test.ts`.\n\n## P2: Two\n\nTests: `test/one.test.ts`.",
  "docs/security-requirements.md": "| 1 | a |\n| 2 | b |",
  "docs/b.md": "## 2. Two\n\n### 2.1 One",
  "shared/push/hub.ts": "",
  "test/one.test.ts": 'test("P1, R2: a", () => {}); test("P2: b", () => {});',
};
const check = (files: Readonly<Record<string, string>>) =>
  findBadReferences(new Map(Object.entries({ ...sound, ...files })));

test.each<[file: string, text: string]>([
  ["README.md", "See `docs/promises.md`, [the rules](docs/security-requirements.md) and `shared/`."],
  ["README.md", "Files like `*.test.ts`, https://example.com/docs/none.md and owner/name issue 3."],
  ["docs/other.md", "Beside `promises.md`, above `../shared/push/hub.ts`."],
  ["shared/a.ts", "// push/hub.ts, and hub.ts by its name alone (P1, R2).\nconst a = b / c; // none"],
  ["shared/a.ts", 'import { a } from "../nowhere/none.ts";'], // the compiler's job
])("%s: a reference that leads somewhere passes: %s", (file, text) => {
  expect(check({ [file]: text })).toEqual([]);
});

test.each<[file: string, text: string, finding: string]>([
  ["README.md", "See `docs/none.md`.", "README.md:1: docs/none.md does not exist"],
  ["README.md", "a\n\nSee [this](docs/none.png).", "README.md:3: docs/none.png does not exist"],
  ["README.md", "The folder `shared/none/` here.", "README.md:1: shared/none/ does not exist"],
  ["shared/a.ts", "const a = 1; \u002f/ see none.md", "shared/a.ts:1: none.md does not exist"],
  ["shared/a.ts", "/** See store/none.ts. */", "shared/a.ts:1: store/none.ts does not exist"],
  ["infra/a.yml", "a: b # see docs/none.md", "infra/a.yml:1: docs/none.md does not exist"],
  ["docs/a.md", "`../../outside/a.ts`", "docs/a.md:1: ../../outside/a.ts does not exist"],
  ["shared/a.ts", "// docs/b.md §2.1, §3", "shared/a.ts:1: docs/b.md has no section 3"],
  ["docs/a.md", "Kept by P3.", "docs/a.md:1: P3 is not a promise or a requirement"],
  ["shared/a.ts", 'test("R3: a")', "shared/a.ts:1: R3 is not a promise or a requirement"],
  [
    "shared/a.ts",
    "// The design notes say so",
    'shared/a.ts:1: "design notes" is not part of this repository',
  ],
  ["docs/a.md", "Decided in issue #12.", 'docs/a.md:1: "issue #12" is not part of this repository'],
  ["docs/a.md", "Lies in /home/me.", 'docs/a.md:1: "/home/" is not part of this repository'],
  ["test/one.test.ts", 'test("P1")', "docs/promises.md: test/one.test.ts holds no test named after P2"],
  [
    "docs/security-requirements.md",
    "| 1 | a |\n| 2 | b |\n| 4 | d |",
    "docs/security-requirements.md: the numbers are not 1, 2, 3 … without a gap",
  ],
])("%s: a reference that leads nowhere is found: %s", (file, text, finding) => {
  expect(check({ [file]: text })).toEqual([finding]);
});
