// npm run build: dist/, which the Functions host loads. `npm start` and `npm test` run it first.
import { join } from "node:path";
import { bundle } from "./bundle.ts";
import { root } from "./root.ts";

await bundle("functions/main.ts", join(root, "dist"));
