/** Waits until the condition holds, and fails when it does not in time. */
export async function until(condition: () => unknown, what = "the condition", ms = 5_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what} did not come within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
