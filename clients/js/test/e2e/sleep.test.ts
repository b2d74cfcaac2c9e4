import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../real/server.js";
import { MISSING, Stage, type Tab } from "./support/stage.js";
import { expectSteps, Worker } from "./support/work.js";

describe.skipIf(MISSING)("a tab that sleeps", () => {
  let stage: Stage;
  let worker: Worker;
  beforeAll(async () => {
    stage = await Stage.open();
    worker = new Worker(stage.server);
  });
  afterAll(() => stage?.close());
  afterEach(() => stage.clear());

  const open = async (count: number, id: string): Promise<{ tabs: Tab[]; leader: Tab; others: Tab[] }> => {
    await worker.begin(id);
    const tabs: Tab[] = [];
    for (let n = 0; n < count; n++) tabs.push(await stage.tab([id]));
    for (const tab of tabs) await tab.are("live");
    await until("one leads", () => stage.leaders.length === 1);
    const [leader] = stage.leaders;
    return { tabs, leader: leader!, others: tabs.filter((tab) => tab !== leader) };
  };

  const expectWhole = async (tabs: readonly Tab[], id: string): Promise<void> => {
    await worker.complete(id);
    for (const tab of tabs) {
      await tab.are("ended");
      const { events, completes, errors } = await tab.task(id);
      expectSteps(events, worker.told(id));
      expect([completes, errors]).toEqual([[id], []]);
      expect(tab.problems).toEqual([]);
    }
  };

  /** Has a tab's program stand still, until what this gives is called. */
  const pause = async (tab: Tab): Promise<() => Promise<void>> => {
    const cdp = await stage.context.newCDPSession(tab.page);
    await cdp.send("Debugger.enable");
    const paused = new Promise((resolve) => cdp.once("Debugger.paused", resolve));
    await cdp.send("Debugger.pause");
    // It stands still where it would do anything next.
    void tab.page.evaluate(() => {}).catch(() => {});
    await paused;
    return async () => {
      await cdp.send("Debugger.resume");
      await cdp.detach();
    };
  };

  /** The same with the browser's words for it: without a screen each page counts as seen, and none is frozen by itself. */
  const freeze = async (tab: Tab): Promise<() => Promise<void>> => {
    await tab.page.evaluate(() => void document.dispatchEvent(new Event("freeze")));
    const resume = await pause(tab);
    return async () => {
      await resume();
      await tab.page.evaluate(() => void document.dispatchEvent(new Event("resume")));
    };
  };

  it("because the browser froze it lets another lead, and has it all when it is woken", async () => {
    const { tabs, leader, others } = await open(3, "frozen");
    await worker.steps(10, "frozen");
    const resume = await freeze(leader);
    await until("another leads", () => stage.leaders.length === 1 && stage.leaders[0] !== leader);
    await worker.steps(10, "frozen");
    for (const tab of others) await tab.has(20, "frozen");
    await stage.clients(1);
    await resume();
    await leader.are("live");
    await worker.steps(10, "frozen");
    await stage.clients(1);
    await expectWhole(tabs, "frozen");
  });

  it("alone holds no connection, and goes on where it was", async () => {
    const { tabs, leader } = await open(1, "alone");
    await worker.steps(10, "alone");
    await leader.has(10, "alone");
    const resume = await freeze(leader);
    await stage.clients(0);
    await worker.steps(10, "alone");
    await resume();
    await leader.has(20, "alone");
    await stage.clients(1);
    await expectWhole(tabs, "alone");
  });

  it("without a word leads no longer once its silence is noticed, and follows when it is awake", async () => {
    const { tabs, leader, others } = await open(3, "silent");
    await worker.steps(10, "silent");
    const resume = await pause(leader);
    await worker.steps(11, "silent");
    // Two rounds of silence, a question without an answer, and the way to the server.
    for (const tab of others) await tab.has(21, "silent", 90_000);
    await resume();
    await leader.has(21, "silent");
    await worker.steps(10, "silent");
    await stage.clients(1);
    await expectWhole(tabs, "silent");
  });

  it("while the way is cut notices that when it is awake", async () => {
    const { tabs, leader } = await open(1, "deep");
    await worker.steps(10, "deep");
    await leader.has(10, "deep");
    const resume = await pause(leader);
    await stage.nginx.restart();
    await worker.steps(11, "deep");
    await resume();
    await leader.has(21, "deep");
    await expectWhole(tabs, "deep");
  });

  it('in the browser\'s cache, to be shown again by "back", holds nothing and goes on where it was', async () => {
    const { tabs, leader, others } = await open(2, "cached");
    await worker.steps(10, "cached");
    for (const tab of tabs) await tab.has(10, "cached");
    await leader.page.goto(`${stage.nginx.origin}/pages/elsewhere.html`);
    await until("another leads", () => stage.leaders[0] === others[0]);
    await worker.steps(10, "cached");
    await others[0]!.has(20, "cached");
    await stage.clients(1);
    // Whoever waits for it to be loaded waits for ever.
    await leader.page.goBack({ waitUntil: "commit" });
    // The same page: a new one would have no tab that watches.
    expect(await leader.page.evaluate(() => window.tab.persisted)).toBe(true);
    await leader.has(20, "cached");
    await stage.clients(1);
    await expectWhole(tabs, "cached");
  });
});
