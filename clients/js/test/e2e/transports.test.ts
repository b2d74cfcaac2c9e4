import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Snapshot } from "../../src/index.js";
import { MISSING, Stage } from "./support/stage.js";
import { expectSteps, settled, Worker } from "./support/work.js";

const TRANSPORTS = ["websocket", "fetch-sse", "event-source", "poll"] as const;

describe.skipIf(MISSING)("a page", () => {
  let stage: Stage;
  let worker: Worker;
  beforeAll(async () => {
    stage = await Stage.open();
    worker = new Worker(stage.server);
  });
  afterAll(() => stage?.close());
  afterEach(() => stage.clear());

  it.each(TRANSPORTS)("is told of every event by %s alone, also over a cut", async (transport) => {
    const ids = [1, 2, 3].map((n) => `${transport}-${n}`);
    await worker.begin(...ids);
    const tab = await stage.tab(ids, { transports: [transport], backoff: { min: 100, max: 500 } });
    const good = transport === "poll" ? "polling" : "live";
    await tab.are(good);
    await worker.steps(20, ...ids);
    for (const id of ids) await tab.has(20, id);
    await stage.nginx.stop();
    await tab.are("stale");
    await worker.steps(20, ...ids);
    await stage.nginx.start();
    await tab.are(good);
    await worker.steps(20, ...ids);
    await worker.complete(...ids);
    await tab.are("ended");
    for (const id of ids) {
      const { events, completes, errors, snapshot } = await tab.task(id);
      expectSteps(events, 60);
      expect([completes, errors]).toEqual([[id], []]);
      expect(settled(snapshot!)).toEqual(settled(await stage.server.get<Snapshot>(`/tasks/${id}`)));
    }
    expect(tab.problems).toEqual([]);
  });

  // Streams are 64 topics each, and browsers have six connections: the whole would not fit into one.
  it.each([
    ["websocket", 1],
    ["fetch-sse", 4],
    ["poll", undefined],
  ] as const)("watches two hundred tasks by %s", async (transport, connections) => {
    const ids = Array.from({ length: 200 }, (_, n) => `many-${transport}-${n}`);
    await worker.begin(...ids);
    const tabs = [await stage.tab(ids, { transports: [transport] }), await stage.tab(ids, { transports: [transport] })];
    for (const tab of tabs) await tab.are(transport === "poll" ? "polling" : "live");
    if (connections) {
      const clients = await stage.clients(connections);
      expect(clients.flatMap(({ topics }) => topics)).toHaveLength(200);
    }
    await worker.steps(5, ...ids);
    await worker.complete(...ids);
    for (const tab of tabs) {
      await tab.are("ended", 30_000);
      for (const [id, { events, completes, errors, snapshot }] of Object.entries(await tab.tasks())) {
        expect([id, completes, errors]).toEqual([id, [id], []]);
        // A tab that is told of a task by another has what came since.
        expectSteps(events, 5);
        expect(snapshot).toMatchObject({ state: "completed", progress: 100 });
      }
    }
    await stage.clients(0);
  });
});
