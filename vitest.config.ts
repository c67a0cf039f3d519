import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // These need Chromium and the machine to themselves: npm run test:browser.
    exclude: [...configDefaults.exclude, "test/browser.test.ts"],
    globalSetup: ["test/helpers/globalSetup.ts"],
    // Real servers on a busy two-core machine: a test waits for events, never for this time.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Files run one after the other in a process that they share, which saves a third of the time. None may leave anything behind.
    isolate: false,
    maxWorkers: 4, // more than cores: many wait for processes, or for an answer that never comes
    maxConcurrency: 24, // of the tests of one file that ask for it: they wait too
    restoreMocks: true,
  },
});
