// Everything that needs a real browser: one browser and one stack for all of it.
import { afterAll, beforeAll, describe } from "vitest";
import { createStack } from "../local/stack.ts";
import { testWebClient } from "./clients/web.ts";
import { executablePath, launch, type Running } from "./helpers/browser.ts";
import { testPage } from "./page/page.ts";

describe.skipIf(executablePath === undefined)("in a browser", () => {
  let running: Running;
  beforeAll(async () => {
    const [stack, browser] = await Promise.all([
      createStack({ settings: { REDELIVER_SCHEDULE: "* * * * * *" } }),
      launch(),
    ]);
    running = { stack, browser };
  });
  afterAll(async () => {
    await running?.browser.close();
    await running?.stack.close();
  });

  describe("the page", () => testPage(() => running));
  describe("the web client", () => testWebClient(() => running));
});
