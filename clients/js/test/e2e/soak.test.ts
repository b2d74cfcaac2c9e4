import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Snapshot } from "../../src/index.js";
import { MISSING, Stage, type Tab } from "./support/stage.js";
import { expectContinuous, settled } from "./support/work.js";

/** How long it goes on, in s. */
const SECONDS = Number(process.env.SOAK_SECONDS ?? 60);
const TABS = 5;

/** The same numbers for the same seed. */
function randomOf(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe.skipIf(MISSING)("a soak", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open();
  });
  afterAll(() => stage?.close());

  it(
    `of ${SECONDS} s, by chance: tabs come and go, the server dies, the network is away`,
    async () => {
      const seed = Number(process.env.SOAK_SEED ?? Date.now() % 1_000_000);
      console.log(`SOAK_SEED=${seed}`);
      const random = randomOf(seed);
      const ids = ["one", "two", "three"];
      const tabs = new Set<Tab>();
      /** What each epoch of a task was told, as far as the server took it. */
      const told = new Map<string, number[]>();
      const done: Record<string, number> = {};
      let isOn = true;
      let n = 0;

      const work = async (): Promise<void> => {
        while (isOn) {
          const id = ids[n % ids.length]!;
          const step = n++;
          try {
            const { last } = (await stage.server.publish(
              id,
              ["step", { n: step }],
              ["progress_update", { stage: "first", stage_progress: step % 100 }],
            )) as { last: string };
            const key = `${id} ${last.split(":")[0]}`;
            told.set(key, [...(told.get(key) ?? []), step]);
          } catch {
            // The server is away.
          }
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      };
      /** Each of a tab's tasks is continuous, and has of each epoch nothing but what was told, without a hole. */
      const check = async (tab: Tab): Promise<void> => {
        for (const [id, { events, completes, errors }] of Object.entries(await tab.tasks())) {
          expectContinuous(events);
          for (const epoch of new Set(events.map((event) => event.epoch))) {
            const seen = events.filter((event) => event.epoch === epoch).flatMap(({ n }) => n ?? []);
            const known = told.get(`${id} ${epoch}`) ?? [];
            // What the server had taken when it died, or has not answered yet, may be missing in `known`.
            const from = known.indexOf(seen[0]!);
            if (from >= 0) expect(seen.slice(0, known.length - from)).toEqual(known.slice(from, from + seen.length));
          }
          expect([completes.length, errors]).toEqual([isOn ? 0 : 1, []]);
        }
        expect(tab.problems).toEqual([]);
      };
      const open = async (): Promise<void> => void tabs.add(await stage.tab(ids));
      const shut = async (crash: boolean): Promise<void> => {
        const all = [...tabs];
        const tab = all[Math.floor(random() * all.length)];
        if (!tab) return;
        await check(tab);
        tabs.delete(tab);
        if (crash) {
          const crashed = tab.page.waitForEvent("crash");
          (await stage.context.newCDPSession(tab.page)).send("Page.crash").catch(() => {});
          await crashed;
        }
        await tab.page.close();
      };
      const acts: Record<string, () => Promise<unknown>> = {
        open: async () => (tabs.size < TABS ? open() : shut(false)),
        close: () => (tabs.size > 1 ? shut(false) : open()),
        crash: () => (tabs.size > 2 ? shut(true) : open()),
        kill: async () => {
          await stage.server.kill();
          await pause(random() * 1_500);
          // The next step of each task begins it anew.
          await stage.server.start();
        },
        cut: () => stage.nginx.restart(),
        offline: async () => {
          await stage.context.setOffline(true);
          await pause(random() * 3_000);
          await stage.context.setOffline(false);
        },
      };
      const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

      const working = work();
      for (let tab = 0; tab < TABS; tab++) await open();
      const names = ["open", "open", "close", "close", "crash", "kill", "cut", "offline"];
      for (const end = Date.now() + SECONDS * 1_000; Date.now() < end;) {
        const name = names[Math.floor(random() * names.length)]!;
        done[name] = (done[name] ?? 0) + 1;
        await acts[name]!();
        await pause(random() * 1_500);
      }
      while (tabs.size < TABS) await open();
      for (const tab of tabs) await tab.are("live", 60_000);
      isOn = false;
      await working;
      for (const id of ids) await stage.server.publish(id, ["complete", { status: "completed" }]);
      for (const tab of tabs) {
        await tab.are("ended");
        await check(tab);
        for (const id of ids) {
          const { snapshot } = await tab.task(id);
          expect(settled(snapshot!)).toEqual(settled(await stage.server.get<Snapshot>(`/tasks/${id}`)));
        }
      }
      await stage.clients(0);
      console.log(`soak: ${JSON.stringify(done)}, ${n} steps, ${told.size} epochs of ${ids.length} tasks`);
    },
    SECONDS * 1_000 + 120_000,
  );
});
