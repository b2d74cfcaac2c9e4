import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Snapshot } from "../../src/index.js";
import { until } from "../real/server.js";
import { MISSING, Stage, type Tab } from "./support/stage.js";
import { expectContinuous, expectSteps, settled, Worker } from "./support/work.js";

describe.skipIf(MISSING)("a connection that is lost in the middle of a task", () => {
  let stage: Stage;
  let worker: Worker;
  beforeAll(async () => {
    stage = await Stage.open();
    worker = new Worker(stage.server);
  });
  afterAll(() => stage?.close());
  afterEach(() => stage.clear());

  const three = async (id: string): Promise<Tab[]> => {
    const tabs = [await stage.tab([id]), await stage.tab([id]), await stage.tab([id])];
    for (const tab of tabs) await tab.are("live");
    return tabs;
  };

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "because the server is ended by %s: the new one's task is told from its beginning",
    async (signal) => {
      const id = `server-${signal}`;
      await worker.begin(id);
      const tabs = await three(id);
      await worker.steps(30, id);
      for (const tab of tabs) await tab.has(30, id);
      await stage.server.kill(signal);
      for (const tab of tabs) await tab.are("stale");
      await stage.server.start();
      const again = new Worker(stage.server);
      await again.begin(id);
      await again.steps(20, id);
      for (const tab of tabs) await tab.are("live");
      await again.steps(20, id);
      await again.complete(id);
      for (const tab of tabs) {
        await tab.are("ended");
        const { events, completes, errors, snapshot, states } = await tab.task(id);
        expectContinuous(events);
        const epochs = [...new Set(events.map(({ epoch }) => epoch))];
        expect(epochs).toHaveLength(2);
        expectSteps(
          events.filter(({ epoch }) => epoch === epochs[0]),
          30,
        );
        expectSteps(
          events.filter(({ epoch }) => epoch === epochs[1]),
          40,
        );
        expect([completes, errors]).toEqual([[id], []]);
        expect(settled(snapshot!)).toEqual(settled(await stage.server.get<Snapshot>(`/tasks/${id}`)));
        expect(states.map(({ state }) => state).filter((state) => state !== "resyncing")).toEqual([
          "connecting",
          "live",
          "stale",
          "live",
          "ended",
        ]);
      }
      await stage.clients(0);
    },
  );

  it("because the server is another, which knows the task only later", async () => {
    await worker.begin("waited");
    const tab = await stage.tab(["waited"]);
    await tab.are("live");
    await stage.server.kill();
    await stage.server.start();
    await until("it is waited for", async () => (await stage.clients())[0]?.topics.length === 1, 30_000);
    expect((await tab.task("waited")).snapshot).not.toBeNull();
    const again = new Worker(stage.server);
    await again.begin("waited");
    await again.steps(5, "waited");
    await again.complete("waited");
    await tab.are("ended");
    const { events, completes } = await tab.task("waited");
    expectSteps(events.slice(events.findIndex(({ epoch }) => epoch !== events[0]!.epoch)), 5);
    expect(completes).toEqual(["waited"]);
  });

  it("because the way is cut: what was missed is told, and nothing twice", async () => {
    await worker.begin("cut");
    const tabs = await three("cut");
    const stop = worker.keepOn("cut");
    for (let times = 0; times < 3; times++) {
      const told = worker.told("cut");
      for (const tab of tabs) await tab.has(told + 5, "cut");
      await stage.nginx.stop();
      for (const tab of tabs) await tab.are("stale");
      await stage.nginx.start();
      for (const tab of tabs) await tab.are("live", 30_000);
    }
    await stop();
    await worker.complete("cut");
    for (const tab of tabs) {
      await tab.are("ended");
      const { events, completes, snapshot } = await tab.task("cut");
      expectSteps(events, worker.told("cut"));
      expect(new Set(events.map(({ epoch }) => epoch)).size).toBe(1);
      expect(completes).toEqual(["cut"]);
      expect(settled(snapshot!)).toEqual(settled(await stage.server.get<Snapshot>("/tasks/cut")));
    }
    await stage.clients(0);
  });

  it("because the network is gone without a word: that is shown soon", async () => {
    await worker.begin("silence");
    const tab = await stage.tab(["silence"]);
    await tab.are("live");
    // The browser lets nothing through, and keeps the WebSocket.
    await stage.context.setOffline(true);
    expect(await tab.are("stale")).toBeLessThan(2_000);
    await worker.steps(5, "silence");
    await stage.context.setOffline(false);
    expect(await tab.are("live")).toBeLessThan(2_000);
    await worker.complete("silence");
    await tab.are("ended");
    expectSteps((await tab.task("silence")).events, 5);
  });

  it("because there is no network, and what a lower transport needs cannot be loaded: it is loaded later", async () => {
    await worker.begin("unloaded");
    const tab = await stage.tab(["unloaded"]);
    await tab.are("live");
    await stage.nginx.stop();
    const isAskedFor = tab.page.waitForRequest(/fetch-sse.*\.js/, { timeout: 60_000 });
    await stage.context.setOffline(true);
    await isAskedFor;
    await stage.nginx.start({ websockets: "forbidden" });
    await stage.context.setOffline(false);
    await tab.are("live", 30_000);
    expect((await tab.link()).transport).toBe("fetch-sse");
    await worker.steps(5, "unloaded");
    await worker.complete("unloaded");
    await tab.are("ended");
    expectSteps((await tab.task("unloaded")).events, 5);
    await stage.nginx.restart();
  });

  it("because there is no network: that is shown at once, and it is live again within 2 s of the network", async () => {
    await worker.begin("offline");
    const tabs = await three("offline");
    await worker.steps(5, "offline");
    await stage.nginx.stop();
    await stage.context.setOffline(true);
    for (const tab of tabs) expect(await tab.are("stale")).toBeLessThan(1_000);
    await worker.steps(5, "offline");
    // Until the pauses between attempts have grown: the seventh may be 32 s.
    const attempts = () => tabs.reduce((sum, { opened, asked }) => sum + opened + asked, 0);
    const before = attempts();
    await until("attempts have failed", () => attempts() >= before + 6, 60_000);
    await stage.nginx.start();
    await stage.context.setOffline(false);
    for (const tab of tabs) expect(await tab.are("live")).toBeLessThan(2_000);
    await worker.complete("offline");
    for (const tab of tabs) {
      await tab.are("ended");
      expectSteps((await tab.task("offline")).events, 10);
    }
  });
});
