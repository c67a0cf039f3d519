// npm run test:browser: the page and the web client in a real Chromium.
import { mergeConfig } from "vitest/config";
import config from "./vitest.config.ts";

export default mergeConfig(
  { ...config, test: { ...config.test, include: [], exclude: [] } },
  { test: { include: ["test/browser.test.ts"] } },
);
