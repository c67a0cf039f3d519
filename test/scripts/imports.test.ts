// The rule of CONTRIBUTING: imports point inward. The linter of `npm run check` enforces it; this tries the rule itself.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../../scripts/root.ts";

/** The files, each with the one module that it imports. */
const REFUSED = {
  "shared/sending/a.ts": "../../functions/routes.ts",
  "shared/b.ts": "../local/stack.ts",
  "shared/push/c.ts": "../../test/helpers/api.ts",
  "shared/inbox/d.ts": "../service.ts",
  "shared/domain/e.ts": "../config/config.ts",
  "shared/domain/f.ts": "../store/store.ts",
  "shared/base/g.ts": "../domain/limits.ts",
  "shared/base/h.ts": "../config/config.ts",
  "functions/i.ts": "../local/stack.ts",
  "functions/http/j.ts": "../../scripts/root.ts",
  "packages/hub/k.ts": "../../shared/base/log.ts",
  "clients/web/l.ts": "../../functions/routes.ts",
};
const ALLOWED = {
  "shared/sending/m.ts": "../config/config.ts",
  "shared/domain/n.ts": "../base/json.ts",
  "shared/domain/o.ts": "./limits.ts",
  "shared/base/p.ts": "./log.ts",
  "functions/q.ts": "../shared/service.ts",
  "local/r.ts": "../functions/app.ts",
  "test/s.ts": "../local/stack.ts",
};

test("imports point inward: the linter refuses every other one, types too", () => {
  const directory = mkdtempSync(join(tmpdir(), "secure-push-imports-"));
  try {
    copyFileSync(join(root, ".oxlintrc.json"), join(directory, ".oxlintrc.json"));
    for (const [file, imported] of Object.entries({ ...REFUSED, ...ALLOWED })) {
      mkdirSync(join(directory, dirname(file)), { recursive: true });
      writeFileSync(join(directory, file), `export type { A } from "${imported}";\n`);
    }
    const linter = join(root, "node_modules/.bin/oxlint");
    const { stdout } = spawnSync(linter, ["--format", "unix"], { cwd: directory, encoding: "utf8" });
    const refused = stdout.split("\n").filter((line) => line.includes("no-restricted-imports"));
    const files = refused.map((line) => line.slice(0, line.indexOf(".ts:") + 3));
    expect(files.toSorted()).toEqual(Object.keys(REFUSED).toSorted());
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** The folders of `shared/`: each may import those before it. */
const ORDER = readOrder(readFileSync(join(root, "CONTRIBUTING.md"), "utf8"));

function readOrder(text: string): readonly string[] {
  const [, list = ""] = /a folder imports only folders before it in this order: ([^.]+)\./.exec(text) ?? [];
  return list.split(",").map((name) => name.trim().replaceAll("`", ""));
}

test("a folder of shared/ imports only folders before it in the order of CONTRIBUTING.md", () => {
  const shared = join(root, "shared");
  const folders = readdirSync(shared, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => name).toSorted()).toEqual(ORDER.toSorted());
  const upward = folders.flatMap(({ name }) =>
    readdirSync(join(shared, name)).flatMap((file) => {
      const text = readFileSync(join(shared, name, file), "utf8");
      return [...text.matchAll(/from "\.\.\/([a-zA-Z]+)\//g)]
        .map(([, imported = ""]) => imported)
        .filter((imported) => ORDER.indexOf(imported) > ORDER.indexOf(name))
        .map((imported) => `${name}/${file} imports ${imported}`);
    }),
  );
  expect(upward).toEqual([]);
});
