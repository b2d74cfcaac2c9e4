import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PROGRAM, Server } from "../real/server.js";
import { expectWithin, Harness, HAS_BROWSER, heap, inWords, load } from "./harness.js";
import { Mount } from "./proxy.js";

if (PROGRAM === undefined) console.warn("PROGRESS_SERVER is not set: tests in a browser against a real server are skipped");

const harness = new Harness();
let server: Server;
let mount: Mount;

const rows = (page: Page) => page.locator("[role=option]");
const row = (page: Page, name: string) => rows(page).filter({ hasText: name });

/** What is embedded, under a prefix and a strict policy, on a real server. */
describe.skipIf(!HAS_BROWSER || PROGRAM === undefined)("on a real server", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    execFileSync(process.execPath, [fileURLToPath(new URL("../../scripts/embed.mjs", import.meta.url))]);
    await harness.start([]);
  }, 60_000);
  afterAll(() => harness.stop());

  beforeEach(async () => {
    server = new Server(["--open", "--max-requests", "0"]);
    await server.start();
    mount = await Mount.open(server.url, "/deep/api");
  });
  afterEach(async () => {
    await mount.close();
    await server.kill();
  });

  describe("the dashboard", () => {
    it("shows what is there and what comes, and cancels", async () => {
      await server.post("/tasks", { task_id: "before", name: "There before", kind: "video" });
      const { page, problems } = await harness.open(`${mount.url}/dashboard`);
      await row(page, "There before").waitFor();
      await server.post("/tasks", { task_id: "new", name: "Just begun", labels: { user: "7" }, stages: [{ path: "load", total: 4, unit: "files" }] });
      await server.publish("new", ["progress_update", { stage: "load", current: 1, message: "The first" }], ["log", { message: "a line" }]);
      await row(page, "Just begun").filter({ hasText: "25%" }).click();
      await page.locator("progress-view").getByText("1/4 files").waitFor();
      await page.locator("progress-view").getByText("a line").waitFor();
      await page.getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("button", { name: "Cancelling…" }).waitFor();
      expect(await server.get("/tasks/new")).toMatchObject({ cancel_requested: true });
      await server.publish("new", ["complete", { status: "cancelled" }]);
      await row(page, "Just begun").waitFor({ state: "detached" });
      await page.locator("progress-view [part=state]").getByText("Cancelled").waitFor();
      expect(await page.locator(".light").textContent()).toBe("Live · WebSocket");
      expect(problems).toEqual([]);
    });

    it("loses no task and brings none back over a cut", async () => {
      for (const id of ["stays", "ends"]) await server.post("/tasks", { task_id: id });
      const { page } = await harness.open(`${mount.url}/dashboard`);
      await row(page, "ends").waitFor();
      mount.cut();
      await server.publish("ends", ["complete", { status: "completed" }]);
      await server.post("/tasks", { task_id: "begins" });
      await row(page, "begins").waitFor();
      await row(page, "ends").waitFor({ state: "detached" });
      await row(page, "stays").waitFor();
    });

    it("forgets the tasks of a server that is another now", async () => {
      await server.post("/tasks", { task_id: "gone" });
      const { page } = await harness.open(`${mount.url}/dashboard`);
      await row(page, "gone").waitFor();
      await server.kill();
      await expect.poll(() => page.locator(".light").textContent()).toBe("Reconnecting…");
      await server.start();
      await server.post("/tasks", { task_id: "fresh" });
      await row(page, "fresh").waitFor({ timeout: 20_000 });
      await row(page, "gone").waitFor({ state: "detached" });
    });

    it("goes on over event streams where WebSockets are blocked", async () => {
      mount.blocks.sockets = true;
      await server.post("/tasks", { task_id: "before" });
      const { page } = await harness.open(`${mount.url}/dashboard#task=before`);
      await row(page, "before").waitFor();
      await expect.poll(() => page.locator(".light").textContent(), { timeout: 20_000 }).toBe("Live · event stream");
      await server.post("/tasks", { task_id: "new" });
      await row(page, "new").waitFor();
      await server.publish("before", ["progress_update", { progress: 12 }]);
      await page.locator("progress-view").getByText("12%").first().waitFor();
      await row(page, "before").getByText("12%").waitFor();
    });

    it("goes on by polling where nothing streams, and says so", async () => {
      mount.blocks = { sockets: true, streams: true };
      await server.post("/tasks", { task_id: "before" });
      const { page } = await harness.open(`${mount.url}/dashboard#task=before`);
      await row(page, "before").waitFor();
      await page.getByText("The list is asked for every few seconds").waitFor({ timeout: 30_000 });
      await server.post("/tasks", { task_id: "new" });
      await server.publish("before", ["complete", { status: "completed" }]);
      await row(page, "new").waitFor({ timeout: 15_000 });
      await row(page, "before").waitFor({ state: "detached" });
      await page.locator("progress-view [part=state]").getByText("Done").waitFor();
    });

    it("lists a thousand tasks", async () => {
      for (let from = 0; from < 1_000; from += 50) {
        await Promise.all(Array.from({ length: 50 }, (_, index) => server.post("/tasks", { task_id: `task-${from + index}` })));
      }
      const { page } = await harness.open(`${mount.url}/dashboard`);
      await expect.poll(() => rows(page).first().getAttribute("aria-setsize"), { timeout: 15_000 }).toBe("1000");
    });

    it("says which option is missing where listing is closed", async () => {
      const closed = new Server([]);
      await closed.start();
      const other = await Mount.open(closed.url, "");
      try {
        const { page } = await harness.open(`${other.url}/dashboard`);
        await page.locator(".gate").getByText("Open::listing()").waitFor();
        await page.getByLabel("Token", { exact: true }).waitFor();
      } finally {
        await other.close();
        await closed.kill();
      }
    });
  });

  describe("<progress-view>", () => {
    const add = (page: Page, ...tasks: string[]) =>
      page.evaluate((tasks) => {
        for (const task of tasks) {
          const element = document.createElement("progress-view");
          element.setAttribute("task", task);
          element.setAttribute("url", location.pathname.replace("/page", ""));
          element.addEventListener("progress-complete", () => (document.title += ` ${task} done`));
          document.body.append(element);
        }
      }, tasks);

    it("shows a task that begins after it, to its end", async () => {
      const { page, problems } = await harness.open(`${mount.url}/page`);
      await add(page, "late");
      const view = page.locator("progress-view");
      await view.getByText("Waiting for the first state").waitFor();
      await server.post("/tasks", { task_id: "late", name: "Late" });
      await server.publish("late", ["progress_update", { progress: 30 }]);
      await view.getByText("30%").waitFor();
      await server.publish("late", ["complete", { status: "completed", result: 1 }]);
      await view.locator("[part=state]").getByText("Done").waitFor();
      expect(await page.title()).toBe("A page late done");
      expect(problems).toEqual([]);
    });

    it("leaves nothing in the heap after a thousand mounts on a connection", async () => {
      const tasks = Array.from({ length: 20 }, (_, index) => `task-${index}`);
      await Promise.all(tasks.map((task_id) => server.post("/tasks", { task_id })));
      const { page } = await harness.open(`${mount.url}/page`);
      const cdp = await page.context().newCDPSession(page);
      // One of each stays, so that what is watched does.
      await add(page, ...tasks);
      const mounts = async (rounds: number) => {
        for (let round = 0; round < rounds; round++) {
          await add(page, ...tasks);
          await page.locator("progress-view [part=state]").last().getByText("Running").waitFor();
          await page.evaluate(() => document.querySelectorAll("progress-view:nth-of-type(n + 21)").forEach((each) => each.remove()));
        }
      };
      await mounts(50);
      const before = await heap(cdp);
      await mounts(50);
      const grown = (await heap(cdp)) - before;
      console.log(`1 000 mounts on a connection: ${(grown / 1024).toFixed(0)} KiB`);
      expect(grown).toBeLessThan(200 * 1024);
    });

    it("keeps the main thread free with 50 bars at 10 updates a second, told by a server", async () => {
      const tasks = Array.from({ length: 50 }, (_, index) => `task-${index}`);
      await Promise.all(tasks.map((task_id) => server.post("/tasks", { task_id })));
      const { page } = await harness.open(`${mount.url}/page`, { viewport: { width: 900, height: 4_200 } });
      await add(page, ...tasks);
      await page.locator("progress-view [part=state]").last().getByText("Running").waitFor();
      let told = 0;
      let failed: unknown;
      const timer = setInterval(() => {
        for (const task of tasks) {
          told += 1;
          const progress = (told / tasks.length / 2) % 99;
          server.publish(task, ["progress_update", { progress, message: `Frame ${told}`, eta_ms: 60_000 }]).catch((error) => (failed = error));
        }
      }, 100);
      try {
        await page.waitForTimeout(500);
        const found = await load(page, 5_000, { share: 0.2, longest: 50 });
        console.log(`50 bars at 10/s of a server: ${inWords(found)}, ${told} updates`);
        expect(failed).toBeUndefined();
        expect(told).toBeGreaterThan(2_000);
        expectWithin(found, { share: 0.2, longest: 50 });
      } finally {
        clearInterval(timer);
      }
    });

    it("is one connection for two hundred on a page", async () => {
      const tasks = Array.from({ length: 200 }, (_, index) => `task-${index}`);
      await Promise.all(tasks.map((task_id) => server.post("/tasks", { task_id })));
      const { page } = await harness.open(`${mount.url}/page`);
      await add(page, ...tasks);
      await page.locator("progress-view").nth(0).locator("[part=state]").getByText("Running").waitFor();
      await page.locator("progress-view").nth(199).scrollIntoViewIfNeeded();
      await page.locator("progress-view").nth(199).locator("[part=state]").getByText("Running").waitFor();
      expect((await server.get<{ sessions: number }>("/health")).sessions).toBe(1);
    });
  });
});
