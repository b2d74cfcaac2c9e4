import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "test/**/*.test.tsx"],
    // Browsers have suites of their own.
    exclude: ["test/browser/**", "test/e2e/**", "node_modules/**"],
    testTimeout: 20_000,
    // Some talk to a real server, on a machine that may do something else for a moment.
    retry: process.env.CI ? 1 : 0,
  },
});
