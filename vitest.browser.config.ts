// npm run test:browser: the page and the web client in a real Chromium. Chromium's notifications and service workers now
// and then miss an event on a machine that is too busy, so a test may be tried again.
import { mergeConfig } from "vitest/config";
import config from "./vitest.config.ts";

export default mergeConfig(
  { ...config, test: { ...config.test, include: [], exclude: [] } },
  { test: { include: ["test/browser.test.ts"], retry: 2 } },
);
