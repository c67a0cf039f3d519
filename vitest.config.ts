import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/helpers/globalSetup.ts"],
    // Real servers on a busy two-core machine: a test that waits, waits for an event, never for this.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 4, // more than cores: many wait for processes, or for an answer that never comes
    restoreMocks: true,
  },
});
