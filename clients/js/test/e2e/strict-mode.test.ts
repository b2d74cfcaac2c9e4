import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MISSING, Stage } from "./support/stage.js";
import { Worker } from "./support/work.js";

describe.skipIf(MISSING)("StrictMode of React", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open({ pages: ["strict"] });
  });
  afterAll(() => stage?.close());

  it("mounts twice, and makes one watch", async () => {
    const worker = new Worker(stage.server);
    await worker.begin("a", "b");
    const page = await stage.context.newPage();
    const said: { type: string; topics?: unknown[] }[] = [];
    let sockets = 0;
    page.on("websocket", (socket) => {
      sockets++;
      socket.on("framesent", ({ payload }) => said.push(JSON.parse(String(payload))));
    });
    await page.goto(`${stage.nginx.origin}/pages/strict.html`);
    await page.waitForFunction(() => "strict" in window);
    // Two bars of one task are one watch, too.
    await page.evaluate(() => window.strict.show(["a", "a", "b"]));
    for (const text of ["a is running", "b is running"]) await page.getByText(text).first().waitFor();
    expect(await page.evaluate(() => window.strict.mounts())).toBeGreaterThanOrEqual(6);
    expect(sockets).toBe(1);
    const [client] = await stage.clients(1);
    expect(client!.topics).toEqual([{ task_id: "a" }, { task_id: "b" }]);
    await worker.complete("a", "b");
    await page.getByText("b is completed").waitFor();
    // Each bar has options of its own.
    expect((await page.evaluate(() => window.strict.ended)).sort()).toEqual(["a", "a", "b"]);
    const commands = said.filter(({ type }) => /subscribe/.test(type));
    expect(commands.map(({ type, topics }) => [type, topics?.length])).toEqual([["subscribe", 2]]);
  });
});
