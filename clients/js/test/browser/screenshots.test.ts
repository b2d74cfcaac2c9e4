import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, it } from "vitest";
import { Harness, HAS_BROWSER } from "./harness.js";

/** Takes the pictures of the docs: `npm run screenshots`. */
const into = process.env.SCREENSHOTS;

const harness = new Harness();

describe.skipIf(!HAS_BROWSER || into === undefined)("pictures", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    await mkdir(into!, { recursive: true });
    await harness.start(["bars", "dashboard"]);
  }, 60_000);
  afterAll(() => harness.stop());

  const take = async (name: string, path: string, options: BrowserContextOptions, prepare: (page: Page) => Promise<void>) => {
    const { page } = await harness.open(path, { viewport: { width: 1200, height: 760 }, reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC", ...options });
    await prepare(page);
    // The log is drawn last.
    await page.waitForTimeout(1_300);
    // Of the element no more than there is of it.
    const height = await page.evaluate(() => document.querySelector("main > progress-view")?.getBoundingClientRect().bottom);
    const { width } = page.viewportSize()!;
    const all = height === undefined ? {} : { fullPage: true, clip: { x: 0, y: 0, width, height: Math.ceil(height) + 16 } };
    await page.screenshot({ path: join(into!, `${name}.png`), ...all });
    await page.context().close();
  };

  const element = (name: string) => async (page: Page) => {
    await page.evaluate((name) => {
      const { bars } = globalThis as any;
      if (name === "waiting") return bars.add("video-42");
      bars.add(name, { stages: "", cancel: "" });
      bars.samples[name === "offline" ? "running" : name](bars.client.task(name));
      if (name === "offline") bars.client.connect("stale");
    }, name);
    await page.evaluate(() => document.querySelector("h1")!.remove());
  };

  const small = { viewport: { width: 720, height: 430 } };
  for (const name of ["running", "failed", "completed", "offline", "waiting"]) {
    it(`the element, ${name}`, () => take(`element-${name}`, "/bars", small, element(name)));
  }
  it("the element, dark", () => take("element-dark", "/bars", { ...small, colorScheme: "dark" }, element("running")));
  it("the element, narrow", () => take("element-narrow", "/bars", { viewport: { width: 340, height: 620 } }, element("running")));
  it("the element, from right to left", () =>
    take("element-rtl", "/bars", small, async (page) => {
      await page.evaluate(() => (document.documentElement.dir = "rtl"));
      await element("running")(page);
    }));
  it("the element, with forced colours", () => take("element-forced", "/bars", { ...small, forcedColors: "active", colorScheme: "dark" }, element("running")));

  const ready = async (page: Page) => {
    await page.locator("[role=option]").first().waitFor();
  };
  it("the dashboard, light", () => take("dashboard-light", "/dashboard#task=task-0", {}, ready));
  it("the dashboard, dark", () => take("dashboard-dark", "/dashboard#task=task-0", { colorScheme: "dark" }, ready));
  it("the dashboard, a failed task", () => take("dashboard-failed", "/dashboard#state=all&sort=state&task=task-1", {}, ready));
  it("the dashboard, a thousand", () => take("dashboard-many", "/dashboard?tasks=1000", {}, ready));
  it("the dashboard, offline", () =>
    take("dashboard-offline", "/dashboard#task=task-0", {}, async (page) => {
      await ready(page);
      await page.evaluate(() => (globalThis as any).page.client.connect("stale"));
    }));
  it("the dashboard, narrow", () => take("dashboard-narrow", "/dashboard", { viewport: { width: 390, height: 760 } }, ready));
  it("the dashboard, narrow, a task", () =>
    take("dashboard-narrow-task", "/dashboard#task=task-0", { viewport: { width: 390, height: 760 } }, async (page) => {
      await page.locator("article h2").waitFor();
    }));
  it("the dashboard, forbidden", () =>
    take("dashboard-forbidden", "/dashboard?refuse=403", {}, async (page) => {
      await page.locator(".gate").waitFor();
    }));
});
