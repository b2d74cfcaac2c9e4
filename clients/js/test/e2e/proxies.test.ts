import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Server, until } from "../real/server.js";
import { MISSING, Stage, type Tab } from "./support/stage.js";
import { expectSteps, Worker } from "./support/work.js";

describe.skipIf(MISSING)("a proxy on the way", () => {
  let stage: Stage;
  let worker: Worker;
  beforeAll(async () => {
    // Beats so far apart that the clock of a page can be put forward between them.
    stage = await Stage.open({ server: new Server(["--open", "--heartbeat", "60s", "--max-requests", "0"]) });
    worker = new Worker(stage.server);
  });
  afterAll(() => stage?.close());
  afterEach(() => stage.clear());

  const transport = async (tab: Tab) => (await tab.link()).transport;

  const expectWhole = async (tab: Tab, id: string): Promise<void> => {
    await worker.complete(id);
    await tab.are("ended");
    const { events, completes, errors } = await tab.task(id);
    expectSteps(events, worker.told(id));
    expect([completes, errors]).toEqual([[id], []]);
  };

  describe("that buffers event streams", () => {
    const sse = { transports: ["fetch-sse", "poll"] } as const;

    it("before the first word has come is left for polling", async () => {
      await stage.nginx.restart({ buffering: "on" });
      await worker.begin("mute");
      const tab = await stage.tab(["mute"], sse);
      // Two attempts of 10 s, and the pauses.
      const ms = await tab.are("polling", 30_000);
      console.log(`no word through a buffer: polling after ${(ms / 1_000).toFixed(1)} s`);
      await worker.steps(5, "mute");
      await tab.has(5, "mute", 5_000);
      await expectWhole(tab, "mute");
    });

    it("in the middle of a stream is noticed by its bursts, and left for polling", async () => {
      await stage.nginx.restart({ buffering: "on" });
      await worker.begin("bursts");
      // What is told at first fills the buffer, so that the stream begins.
      await stage.server.publish("bursts", ["progress_update", { metadata: { long: "x".repeat(20_000) } }]);
      const tab = await stage.tab(["bursts"], sse);
      await tab.are("live");
      const from = Date.now();
      // 1 KiB each third of a second: a buffer is full every few seconds.
      let isOn = true;
      const work = (async () => {
        for (let n = 0; isOn; n++) {
          await stage.server.publish("bursts", ["log", { message: `${n} ${"y".repeat(1_000)}` }]);
          await new Promise((resolve) => setTimeout(resolve, 330));
        }
      })();
      await tab.are("polling", 40_000);
      console.log(`bursts through a buffer: polling after ${((Date.now() - from) / 1_000).toFixed(1)} s`);
      isOn = false;
      await work;
      await worker.steps(5, "bursts");
      await tab.has(5, "bursts", 5_000);
      await expectWhole(tab, "bursts");
      const { states } = await tab.task("bursts");
      expect(states.map(({ state }) => state)).not.toContain("idle");
    });

    it.each([
      ["as we recommend", "off"],
      ["because the server asks it not to", "asked"],
    ] as const)("not at all, %s, is no reason to leave a stream", async (_, buffering) => {
      const id = `fluent-${buffering}`;
      await stage.nginx.restart({ buffering });
      await worker.begin(id);
      const tab = await stage.tab([id], sse);
      await tab.are("live");
      // Bursts of the work itself, with pauses between: they come when they are told.
      for (let burst = 0; burst < 8; burst++) {
        await worker.steps(10, id);
        await tab.has(worker.told(id), id, 1_000);
        await new Promise((resolve) => setTimeout(resolve, 2_500));
      }
      expect(await transport(tab)).toBe("fetch-sse");
      expect((await stage.clients(1))[0]!.transport).toMatch(/sse|stream/i);
      const { states } = await tab.task(id);
      expect(states.map(({ state }) => state)).toEqual(["connecting", "live"]);
      await expectWhole(tab, id);
    });
  });

  describe.each(["forbidden", "hanging"] as const)("with WebSockets %s", (websockets) => {
    it("leaves event streams, and WebSockets are taken once they get through", async () => {
      await stage.nginx.restart({ websockets });
      const id = `ws-${websockets}`;
      await worker.begin(id);
      const tab = await stage.tab([id], {}, (page) => page.clock.install());
      // Two attempts of 10 s where nothing answers.
      const ms = await tab.are("live", 40_000);
      console.log(`WebSockets ${websockets}: an event stream after ${(ms / 1_000).toFixed(1)} s`);
      expect(await transport(tab)).toBe("fetch-sse");
      await worker.steps(5, id);
      await tab.has(5, id);
      // Some minutes: a climb that fails leaves all as it is.
      const pass = async (): Promise<void> => {
        await tab.page.clock.fastForward(20_000);
        await worker.steps(1, id);
        await tab.has(worker.told(id), id);
      };
      for (let times = 0; times < 6; times++) await pass();
      expect(await transport(tab)).toBe("fetch-sse");
      await stage.nginx.restart();
      for (let times = 0; times < 12 && (await transport(tab)) !== "websocket"; times++) {
        await pass();
        // An attempt may be under way.
        await until("it is a WebSocket", async () => (await transport(tab)) === "websocket", 300).catch(() => {});
      }
      expect(await transport(tab)).toBe("websocket");
      await stage.clients(1);
      await expectWhole(tab, id);
    });
  });

  it("with WebSockets that get through after a change of the network, they are taken at once", async () => {
    await stage.nginx.restart({ websockets: "forbidden" });
    await worker.begin("network");
    const tab = await stage.tab(["network"]);
    await tab.are("live");
    await stage.nginx.restart();
    await tab.are("live");
    await tab.page.evaluate(() => dispatchEvent(new Event("online")));
    await until("it is a WebSocket", async () => (await transport(tab)) === "websocket", 5_000);
    await worker.steps(5, "network");
    await expectWhole(tab, "network");
  });
});
