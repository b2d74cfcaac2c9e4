import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectWithin, Harness, HAS_BROWSER, inWords, load, violations } from "./harness.js";

const harness = new Harness();

const chosen = (page: Page) => page.locator("[role=option][aria-selected=true]");
const active = (page: Page) =>
  page.locator("[role=listbox]").evaluate((list) => document.getElementById(list.getAttribute("aria-activedescendant") ?? "")?.getAttribute("aria-posinset") ?? null);
const rows = (page: Page) => page.locator("[role=option]");
const size = (page: Page) => rows(page).first().getAttribute("aria-setsize");

describe.skipIf(!HAS_BROWSER)("the dashboard in a browser", { timeout: 60_000 }, () => {
  beforeAll(() => harness.start(["dashboard"]), 60_000);
  afterAll(() => harness.stop());

  const open = async (path = "/dashboard", options = {}) => {
    const opened = await harness.open(path, options);
    return opened;
  };

  for (const colorScheme of ["light", "dark"] as const) {
    it(`has nothing that axe-core finds wrong, ${colorScheme}`, async () => {
      const { page, problems } = await open("/dashboard#task=task-0", { colorScheme });
      await page.locator("progress-view li").first().waitFor();
      await rows(page).first().waitFor();
      expect(await violations(page)).toEqual([]);
      await page.setViewportSize({ width: 400, height: 800 });
      expect(await violations(page)).toEqual([]);
      expect(problems).toEqual([]);
    });

    it(`has nothing that axe-core finds wrong where listing is forbidden, ${colorScheme}`, async () => {
      const { page } = await open("/dashboard?refuse=403", { colorScheme });
      await page.locator(".gate").waitFor();
      expect(await violations(page)).toEqual([]);
    });
  }

  it("shows tasks as they start, move and end", async () => {
    const { page } = await open();
    await expect.poll(() => size(page)).toBe("11");
    const tell = (id: string, type: string, data: unknown) =>
      page.evaluate(([id, type, data]) => (globalThis as any).page.tell(id, type, data), [id, type, data] as const);
    await tell("new", "started", { name: "Brand new", kind: "video", labels: {} });
    const row = rows(page).filter({ hasText: "Brand new" });
    await row.waitFor();
    await tell("new", "progress_update", { progress: 33.3, message: "Under way" });
    await expect.poll(() => row.textContent()).toContain("33%");
    expect(await row.textContent()).toContain("Under way");
    await tell("new", "complete", { status: "completed", progress: 100 });
    await row.waitFor({ state: "detached" });
    await page.getByLabel("State").selectOption("completed");
    await expect.poll(() => row.textContent()).toContain("100%");
  });

  it("filters, searches and orders, and keeps that in the address", async () => {
    const { page } = await open();
    await rows(page).first().waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("export");
    await expect.poll(() => rows(page).allTextContents().then((all) => all.every((text) => text.includes("export")))).toBe(true);
    await page.getByLabel("State").selectOption("all");
    await page.getByLabel("Kind").selectOption("export");
    await page.getByLabel("Order").selectOption("name");
    const before = await rows(page).allTextContents();
    expect(await page.evaluate(() => location.hash)).toBe("#state=all&kind=export&q=export&sort=name");
    await page.reload();
    await expect.poll(() => rows(page).allTextContents()).toEqual(before);
    await page.getByRole("button", { name: "Clear filters" }).click();
    await expect.poll(() => size(page)).toBe("11");
  });

  it("is used by keys alone", async () => {
    const { page } = await open("/dashboard?tasks=300");
    await rows(page).first().waitFor();
    await page.locator("[role=listbox]").focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await expect.poll(() => active(page)).toBe("3");
    await page.keyboard.press("End");
    await expect.poll(() => active(page)).toBe(await size(page));
    const last = rows(page).last();
    expect(await last.boundingBox().then((box) => box!.y + box!.height)).toBeLessThanOrEqual(page.viewportSize()!.height + 1);
    await page.keyboard.press("Home");
    await page.keyboard.press("Enter");
    await expect.poll(() => chosen(page).getAttribute("aria-posinset")).toBe("1");
    await page.locator("article h2").waitFor();
    expect(await page.locator("article h2").textContent()).toBe("Talking video");
    await page.keyboard.press("Escape");
    await page.locator("article").waitFor({ state: "hidden" });
    await page.goBack();
    await page.locator("article").waitFor();
  });

  it("keeps the element that the screen reader is told of, also where it is scrolled away", async () => {
    const { page } = await open("/dashboard?tasks=1000");
    await rows(page).first().waitFor();
    await page.locator("[role=listbox]").focus();
    await page.keyboard.press("ArrowDown");
    await page.locator("[role=listbox]").evaluate((list) => list.scrollTo(0, 30_000));
    await expect.poll(() => rows(page).nth(1).getAttribute("aria-posinset").then(Number)).toBeGreaterThan(100);
    expect(await active(page)).toBe("2");
    expect(await rows(page).count()).toBeLessThan(40);
  });

  it("scrolls through a thousand moving tasks without a long task", async () => {
    const { page } = await open("/dashboard?tasks=1000", { viewport: { width: 1280, height: 900 } });
    await expect.poll(() => size(page)).toBe("999");
    await page.evaluate(() => (globalThis as any).page.move(2));
    await page.evaluate(() => {
      const list = document.querySelector(".list")!;
      const scroll = () => {
        list.scrollTop = (list.scrollTop + 90) % (list.scrollHeight - list.clientHeight);
        requestAnimationFrame(scroll);
      };
      requestAnimationFrame(scroll);
    });
    await page.waitForTimeout(500);
    const found = await load(page, 5_000, { share: 1, longest: 50 });
    console.log(`1 000 tasks at 2/s, scrolled: ${inWords(found)}`);
    expectWithin(found, { share: 1, longest: 50 });
  });

  it("says what is missing where listing is forbidden, and goes on with a token", async () => {
    const { page } = await open("/dashboard?refuse=401");
    await page.getByLabel("Token", { exact: true }).fill("bad");
    await page.getByRole("button", { name: "Use token" }).click();
    await page.locator(".gate").waitFor();
    await page.getByLabel("Token", { exact: true }).fill("good");
    await page.getByLabel("Keep it in this tab").check();
    await page.getByRole("button", { name: "Use token" }).click();
    await rows(page).first().waitFor();
    expect(await page.locator(".gate").count()).toBe(0);
    expect(page.url()).not.toContain("good");
    await page.reload();
    await rows(page).first().waitFor();
    await page.getByRole("button", { name: "Forget token" }).click();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
  });

  it("says why a task may not be cancelled", async () => {
    const { page } = await open("/dashboard#task=task-0");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("You may not cancel this task: this is not allowed").waitFor();
    expect(await page.getByRole("button", { name: "Cancel" }).isDisabled()).toBe(true);
  });

  it("shows one column where it is narrow, and the way back", async () => {
    const { page } = await open("/dashboard", { viewport: { width: 400, height: 800 } });
    await rows(page).first().click();
    await page.locator("article h2").waitFor();
    expect(await page.locator(".tasks").isVisible()).toBe(false);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(400);
    await page.getByRole("button", { name: "All tasks" }).click();
    await rows(page).first().waitFor();
  });

  it("says how it stands with the connection", async () => {
    const { page } = await open();
    const light = page.locator(".light");
    await expect.poll(() => light.textContent()).toBe("Live · WebSocket");
    await page.evaluate(() => (globalThis as any).page.client.connect("stale"));
    await expect.poll(() => light.textContent()).toBe("Reconnecting…");
  });
});
