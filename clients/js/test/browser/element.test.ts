import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectWithin, Harness, HAS_BROWSER, heap, inWords, load, violations } from "./harness.js";

const harness = new Harness();

type Bars = typeof globalThis & { bars: any };

describe.skipIf(!HAS_BROWSER)("<progress-view> in a browser", { timeout: 60_000 }, () => {
  beforeAll(() => harness.start(["bars"]), 60_000);
  afterAll(() => harness.stop());

  for (const colorScheme of ["light", "dark"] as const) {
    it(`has nothing that axe-core finds wrong, ${colorScheme}`, async () => {
      const { page, problems } = await harness.open("/bars", { colorScheme });
      await page.evaluate(() => (globalThis as Bars).bars.gallery());
      await page.locator("progress-view [part=error] li").first().waitFor();
      expect(await violations(page)).toEqual([]);
      expect(problems).toEqual([]);
    });
  }

  it("keeps the main thread free with 50 bars at 10 updates a second", async () => {
    const { page } = await harness.open("/bars", { viewport: { width: 900, height: 4200 } });
    await page.evaluate(() => Object.assign(globalThis, { flood: (globalThis as Bars).bars.flood(50, 10) }));
    await page.waitForFunction(() => (globalThis as any).flood.told() > 500);
    const before = await page.evaluate(() => [(globalThis as any).flood.told(), (globalThis as any).flood.draws()]);
    const found = await load(page, 5_000, { share: 0.2, longest: 50 });
    const after = await page.evaluate(() => [(globalThis as any).flood.told(), (globalThis as any).flood.draws()]);
    const [told, draws] = after.map((value, index) => value - before[index]!) as [number, number];
    console.log(`50 bars at 10/s: ${inWords(found)}, ${told} updates, ${(draws / told).toFixed(2)} draws each`);
    expect(told).toBeGreaterThan(2_000);
    expect(draws / told).toBeGreaterThan(0.9);
    expectWithin(found, { share: 0.2, longest: 50 });
  });

  it("draws nothing that is off the screen, and all of it when it is scrolled to", async () => {
    const { page } = await harness.open("/bars", { viewport: { width: 600, height: 400 } });
    await page.evaluate(() => Object.assign(globalThis, { flood: (globalThis as Bars).bars.flood(100, 5) }));
    await page.waitForFunction(() => (globalThis as any).flood.told() > 1_000);
    const last = page.locator("progress-view").last();
    const shown = await last.locator("[part=percent]").textContent();
    expect(await page.locator("progress-view").first().locator("[part=percent]").textContent()).not.toBe(shown);
    await last.scrollIntoViewIfNeeded();
    await expect.poll(() => last.locator("[part=percent]").textContent()).not.toBe(shown);
  });

  it("draws an end that is off the screen, for who reads without looking", async () => {
    const { page } = await harness.open("/bars", { viewport: { width: 600, height: 400 } });
    await page.evaluate(() => {
      const { bars } = globalThis as Bars;
      for (let index = 0; index < 50; index++) bars.add(`task-${index}`);
      bars.client.task("task-49").update({ state: "completed", progress: 100 });
    });
    await expect.poll(() => page.locator("progress-view").last().locator("[part=state]").textContent()).toBe("Done");
  });

  it("leaves nothing in the heap after a thousand mounts", async () => {
    const { page } = await harness.open("/bars");
    const cdp = await page.context().newCDPSession(page);
    const mounts = () => page.evaluate(() => (globalThis as Bars).bars.mountAndRemove(1_000));
    await mounts();
    const before = await heap(cdp);
    await mounts();
    const grown = (await heap(cdp)) - before;
    console.log(`1 000 mounts: ${(grown / 1024).toFixed(0)} KiB`);
    expect(grown).toBeLessThan(100 * 1024);
    expect(await page.evaluate(() => (globalThis as Bars).bars.client.listeners)).toBe(0);
  });

  it("moves no bar for who wants less motion", async () => {
    const { page } = await harness.open("/bars", { reducedMotion: "reduce" });
    await page.evaluate(() => (globalThis as Bars).bars.gallery());
    const motion = await page.locator("progress-view").last().locator("[part=bar]").evaluate((bar) => ({
      fill: (bar.classList.add("glides"), getComputedStyle(bar.firstElementChild!).transitionDuration),
      waiting: getComputedStyle(bar, "::after").animationName,
    }));
    expect(motion).toEqual({ fill: "0s", waiting: "none" });
  });

  it("fills from the right where one reads so", async () => {
    const { page } = await harness.open("/bars");
    await page.evaluate(() => {
      document.documentElement.dir = "rtl";
      (globalThis as Bars).bars.gallery();
    });
    const bar = page.locator("progress-view").first().locator("[part=bar]");
    await expect.poll(async () => bar.evaluate((root) => {
      const outer = root.getBoundingClientRect();
      const inner = root.firstElementChild!.getBoundingClientRect();
      return Math.abs(outer.right - inner.right) < 1 && Math.abs(inner.width / outer.width - 0.473) < 0.01;
    })).toBe(true);
  });

  it("shows a bar where colours are forced", async () => {
    const { page } = await harness.open("/bars", { forcedColors: "active" });
    await page.evaluate(() => (globalThis as Bars).bars.gallery());
    const colours = await page.locator("progress-view").first().locator("[part=bar]").evaluate((bar) => ({
      border: getComputedStyle(bar).borderTopWidth,
      fill: getComputedStyle(bar.firstElementChild!).backgroundColor,
      ground: getComputedStyle(bar).backgroundColor,
    }));
    expect(colours.border).toBe("1px");
    expect(colours.fill).not.toBe(colours.ground);
  });
});
