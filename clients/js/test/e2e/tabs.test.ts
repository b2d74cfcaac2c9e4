import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Snapshot } from "../../src/index.js";
import { until } from "../real/server.js";
import { MISSING, Stage, type Tab } from "./support/stage.js";
import { expectSteps, settled, Worker } from "./support/work.js";

describe.skipIf(MISSING)("tabs of one origin", () => {
  let stage: Stage;
  let worker: Worker;
  beforeAll(async () => {
    stage = await Stage.open();
    worker = new Worker(stage.server);
  });
  afterAll(() => stage?.close());
  afterEach(() => stage.clear());

  const open = async (count: number, ...ids: string[]): Promise<Tab[]> => {
    const tabs: Tab[] = [];
    for (let n = 0; n < count; n++) tabs.push(await stage.tab(ids));
    for (const tab of tabs) await tab.are("live");
    return tabs;
  };

  const expectAll = async (tab: Tab, id: string): Promise<void> => {
    await until(`the end of ${id}`, async () => (await tab.task(id)).connection === "ended");
    const { events, completes, errors, snapshot } = await tab.task(id);
    expectSteps(events, worker.told(id));
    expect([completes, errors]).toEqual([[id], []]);
    expect(settled(snapshot!)).toEqual(settled(await stage.server.get<Snapshot>(`/tasks/${id}`)));
    expect(tab.problems).toEqual([]);
  };

  it("are ten on one connection, and each is told of every event in order", async () => {
    const ids = ["a", "b", "c"];
    await worker.begin(...ids);
    const tabs = await open(10, ...ids);
    const [client] = await stage.clients(1);
    expect(client!.topics.map(({ task_id }) => task_id).sort()).toEqual(ids);
    expect(stage.leaders).toHaveLength(1);
    await worker.steps(100, ...ids);
    expect(await stage.clients()).toHaveLength(1);
    await worker.complete(...ids);
    for (const tab of tabs) for (const id of ids) await expectAll(tab, id);
    expect(tabs.map(({ opened }) => opened).reduce((sum, opened) => sum + opened)).toBe(1);
  });

  it("watch each something else, and a connection ends with the last", async () => {
    const ids = ["only-1", "only-2", "only-3"];
    await worker.begin(...ids);
    const tabs = await Promise.all(ids.map((id) => stage.tab([id])));
    for (const tab of tabs) await tab.are("live");
    expect((await stage.clients(1))[0]!.topics.map(({ task_id }) => task_id).sort()).toEqual(ids);
    const [leader] = stage.leaders;
    const [gone, ...rest] = tabs.filter((tab) => tab !== leader);
    await gone!.page.close();
    // Its tab was the only one that wanted that.
    await until("its task is let go", async () => (await stage.clients())[0]!.topics.length === 2);
    await leader!.page.close();
    await until("what is left is watched by another", async () => {
      const [client, ...more] = await stage.clients();
      return !more.length && client?.topics.length === 1;
    });
    await rest[0]!.page.close();
    await stage.clients(0);
  });

  it("that come later read all from the beginning", async () => {
    await worker.begin("late");
    const [first] = await open(1, "late");
    await worker.steps(30, "late");
    const later = await stage.tab(["late"]);
    await later.are("live");
    await later.page.evaluate(() => void window.tab.iterate("late"));
    await worker.steps(30, "late");
    await worker.complete("late");
    await expectAll(first!, "late");
    await until("it has read all", () =>
      later.page.evaluate(() => window.tab.read("late").at(-1)?.type === "complete"),
    );
    expectSteps(await later.page.evaluate(() => window.tab.read("late")), 60);
    const { completes, snapshot } = await later.task("late");
    expect(completes).toEqual(["late"]);
    expect(settled(snapshot!)).toEqual(settled(await stage.server.get<Snapshot>("/tasks/late")));
    await first!.page.close();
  });

  const closings: Record<string, (tab: Tab) => Promise<unknown>> = {
    closed: (tab) => tab.page.close(),
    reloaded: (tab) => tab.page.reload(),
    "left for another page": (tab) => tab.page.goto(`${stage.nginx.origin}/pages/elsewhere.html`),
    crashed: async (tab) => {
      const cdp = await stage.context.newCDPSession(tab.page);
      const crashed = tab.page.waitForEvent("crash");
      // It never answers.
      cdp.send("Page.crash").catch(() => {});
      await crashed;
    },
  };

  it.each(Object.keys(closings))("go on when the leader's is %s in the middle of a task", async (how) => {
    const id = `leader-${how.split(" ")[0]}`;
    await worker.begin(id);
    const tabs = await open(5, id);
    const stop = worker.keepOn(id);
    await tabs[4]!.has(20, id);
    // Two leaders, one after the other.
    let rest = tabs;
    for (let times = 0; times < 2; times++) {
      await until("one leads", () => stage.leaders.length === 1);
      const [leader] = stage.leaders;
      await closings[how]!(leader!);
      rest = rest.filter((tab) => tab !== leader);
      await until("another leads", () => stage.leaders.length === 1 && stage.leaders[0] !== leader);
      for (const tab of rest) await tab.are("live");
    }
    await stop();
    await worker.complete(id);
    expect(rest).toHaveLength(3);
    for (const tab of rest) await expectAll(tab, id);
    await stage.clients(0);
  });
});
