// npm run build: dist/, which the Functions host loads. `npm start` and `npm test` run it first.
import { join } from "node:path";
import { bundle, root } from "./bundle.ts";

await bundle("functions/main.ts", join(root, "dist"));
