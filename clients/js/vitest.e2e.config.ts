import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/e2e/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // Each has a browser, a proxy and a server of its own, and waits for what has to come within a time.
    fileParallelism: false,
  },
});
