import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PROGRAM, Server } from "../real/server.js";
import { Emitter } from "./emitter.js";
import { Harness, HAS_BROWSER } from "./harness.js";
import { Mount } from "./proxy.js";

const harness = new Harness();
let server: Server;
let mount: Mount;

const show = (page: Page, kind: string, tasks: string[], strict = false) =>
  page.evaluate(([kind, tasks, strict]) => (globalThis as any).react.show(kind, tasks, strict), [kind, tasks, strict] as const);

describe.skipIf(!HAS_BROWSER || PROGRAM === undefined)("React in a browser, on a real server", () => {
  beforeAll(() => harness.start(["react"]), 60_000);
  afterAll(() => harness.stop());

  beforeEach(async () => {
    server = new Server(["--open", "--max-requests", "0"]);
    await server.start();
    mount = await Mount.open(server.url, "/api", harness.scripts);
  });
  afterEach(async () => {
    await mount.close();
    await server.kill();
  });

  it("makes one connection under StrictMode, and tells of the end once", async () => {
    await server.post("/tasks", { task_id: "a" });
    const { page, problems } = await harness.open(`${mount.url}/react`);
    let sockets = 0;
    page.on("websocket", () => (sockets += 1));
    await show(page, "hook", ["a"], true);
    await page.getByText("a running 0").waitFor();
    expect((await server.get<{ sessions: number }>("/health")).sessions).toBe(1);
    await server.publish("a", ["complete", { status: "completed" }]);
    await page.getByText("a completed 100").waitFor();
    expect(await page.evaluate(() => (globalThis as any).react.ended)).toEqual(["a"]);
    expect(sockets).toBe(1);
    expect(problems).toEqual([]);
  });

  it("renders a fraction of the updates, beside states that are set with every message", async () => {
    const tasks = ["a", "b", "c", "d", "e"];
    const updates = 200;
    /** How often bars were rendered for each of their updates, which come in bursts of four as those of one step do. */
    const measure = async (page: Page, kind: string, publish: typeof server.publish): Promise<number> => {
      const ids = tasks.map((task) => `${kind}-${task}`);
      await show(page, kind, ids);
      await page.getByText(kind === "hook" ? `${ids.at(-1)} running 0` : `${ids.at(-1)} waiting 0`).waitFor();
      if (kind === "socket") await page.waitForFunction(() => (globalThis as any).react.isConnected());
      const renders = () => page.evaluate(() => (globalThis as any).react.renders());
      const before = await renders();
      for (let update = 0; update < updates; update += 4) {
        const burst = [0, 1, 2, 3].map((each) => ["progress_update", { progress: ((update + each) / updates) * 99 }] as const);
        await Promise.all(ids.map((id) => publish(id, ...burst)));
      }
      await Promise.all(ids.map((id) => publish(id, ["complete", { status: "completed", progress: 100 }])));
      for (const id of ids) await page.getByText(`${id} completed 100`).waitFor();
      return ((await renders()) - before) / (updates * tasks.length);
    };
    const ours = async (kind: string): Promise<number> => {
      for (const task of tasks) await server.post("/tasks", { task_id: `${kind}-${task}` });
      const { page } = await harness.open(`${mount.url}/react`);
      return measure(page, kind, (id, ...events) => server.publish(id, ...events));
    };
    const [hook, state] = [await ours("hook"), await ours("state")];
    const emitter = await Emitter.open(harness.scripts.get("/react.js")!);
    const { page } = await harness.open(`${emitter.url}/react`);
    const socket = await measure(page, "socket", (id, ...events) => emitter.publish(id, ...events));
    await emitter.close();
    const all = { useProgress: hook, "fetch-event-source with useState": state, "socket.io-client with useState": socket };
    const words = Object.entries(all).map(([name, renders]) => `${name} ${renders.toFixed(2)}`);
    console.log(`renders for each update: ${words.join(", ")}`);
    // A burst of four is a render, seldom two. How much a state renders is up to how its messages come.
    expect(hook).toBeLessThan(0.4);
    expect(Math.min(state, socket)).toBeGreaterThan(0);
  });
});
