import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/browser/**/*.test.ts"],
    testTimeout: 60_000,
    // A machine that does something else for a moment is no fault of the page.
    retry: process.env.CI ? 2 : 0,
    // What is measured is measured alone.
    fileParallelism: false,
  },
});
