// Loaded before every script of package.json (node -r). Says in one line why a script cannot run, and what to do.
// Plain JavaScript for any version of Node.js: the scripts themselves are TypeScript, which an older one cannot load.
"use strict";

var fs = require("node:fs");
var path = require("node:path");

/** The floor in package.json ("engines") and in README.md. */
var FLOOR = [22, 19];

var root = path.join(__dirname, "..");
var own = process.versions.node.split(".").map(Number);
var isOld = own[0] < FLOOR[0] || (own[0] === FLOOR[0] && own[1] < FLOOR[1]);

if (!fs.existsSync(path.join(root, "node_modules"))) stop("The packages are not installed. Run: npm ci");
if (isOld)
  stop(
    "Node " +
      process.versions.node +
      " is too old: Node " +
      FLOOR.join(".") +
      " or later is needed. The package `node` brings one, but its install script did not run. Run: " +
      (fs.existsSync(path.join(root, "node_modules/.pnpm"))
        ? "pnpm approve-builds (choose node), then pnpm rebuild node"
        : "npm ci (without --ignore-scripts)"),
  );

function stop(/** @type {string} */ message) {
  console.error(message);
  process.exit(1);
}
