// npm run build: dist/, which the Functions host loads. `npm start` and `npm test` run it first.
import { bundleApp } from "./bundle.ts";

await bundleApp();
