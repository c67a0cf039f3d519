// Makes the bundle that is deployed: dist/main.js. Run by `npm run build`, `npm start` and `npm test`.
import { build } from "esbuild";

await build({
  entryPoints: { main: "functions/main.ts" },
  outdir: "dist",
  bundle: true,
  platform: "node",
  target: "node22",
  format: "esm",
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true, // class names of library errors stay what they are
  legalComments: "none", // the notices of what is bundled go into the package, not into the code
  external: ["@azure/functions-core"], // supplied by the Functions worker (reference: it is no npm package)
  banner: {
    // @azure/functions is CommonJS and calls require() for Node's own modules.
    js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);`,
  },
  logLevel: "warning",
});
