import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Client } from "../src/client.js";
import { ALIVE_MS, ANSWER_MS } from "../src/share/tabs.js";
import type { ProgressClient, TaskHandle } from "../src/types.js";
import { World, type Tab } from "./support/world.js";

let world: World;
beforeEach(() => {
  world = new World();
  world.install();
});
afterEach(() => world.uninstall());

interface Watching {
  readonly tab: Tab;
  readonly client: ProgressClient;
  readonly task: TaskHandle;
  readonly seqs: number[];
  readonly ends: string[];
  readonly stop: () => void;
}

/** A tab that watches a task. */
function watch(id = "t", options: object = {}): Watching {
  const tab = world.tab();
  const client = tab.client(options);
  const seqs: number[] = [];
  const ends: string[] = [];
  const task = client.task(id, {
    onEvent: ({ seq }) => seqs.push(seq),
    onComplete: () => ends.push("complete"),
    onError: ({ code }) => ends.push(code),
  });
  return { tab, client, task, seqs, ends, stop: tab.run(() => task.subscribe(() => {})) };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at);

describe("ten tabs", () => {
  it("have one connection, and see the same", async () => {
    world.server.start("t");
    const all = Array.from({ length: 10 }, () => watch());
    await world.pass(50);
    world.server.progress("t", 42);
    await world.pass(50);
    expect(world.count("websocket")).toBe(1);
    expect(world.server.sessions.size).toBe(1);
    for (const { client, task } of all) {
      expect(client.transport).toBe("websocket");
      expect(task.view).toMatchObject({ connection: "live", snapshot: { progress: 42 } });
      expect(task.snapshot).toEqual(world.server.snapshot("t"));
    }
    world.server.complete("t");
    await world.pass(50);
    expect(all.map(({ ends }) => ends)).toEqual(all.map(() => ["complete"]));
  });

  it("have a topic as long as one of them watches it", async () => {
    world.server.start("a");
    world.server.start("b");
    const first = watch("a");
    await world.pass(50);
    const second = watch("b");
    const third = watch("b");
    await world.pass(50);
    const keys = (): string[] => [...[...world.server.sessions][0]!.cursors.keys()];
    expect(keys()).toEqual(["ta", "tb"]);
    second.tab.run(second.stop);
    await world.pass(600);
    expect(keys()).toEqual(["ta", "tb"]);
    third.tab.run(third.stop);
    await world.pass(600);
    expect(keys()).toEqual(["ta"]);
    expect(first.task.connection).toBe("live");
  });

  it("notice one that is gone without a word", async () => {
    world.server.start("a");
    world.server.start("b");
    watch("a");
    await world.pass(50);
    const gone = watch("b");
    await world.pass(50);
    gone.tab.close();
    await world.pass(50);
    expect([...[...world.server.sessions][0]!.cursors.keys()]).toEqual(["ta"]);
  });

  it("that share by other names have connections of their own", async () => {
    world.server.start("t");
    watch("t", { share: "one" });
    watch("t", { share: "other" });
    watch("t", { share: false });
    await world.pass(50);
    expect(world.count("websocket")).toBe(3);
  });
});

describe("a tab that comes late", () => {
  it("is told at once what is known, without a word to the server", async () => {
    world.server.start("t", "a");
    for (let n = 1; n <= 3; n++) world.server.publish("t", "log", { n, level: "INFO", message: `${n}` });
    watch();
    await world.pass(50);
    world.server.progress("t", 50, "a");
    await world.pass(50);
    const commands = world.commands.length;
    const late = watch();
    await world.pass(20);
    expect(late.task.snapshot).toEqual(world.server.snapshot("t"));
    expect(late.task.view.logs.map(({ n }) => n)).toEqual([1, 2, 3]);
    expect(late.task.connection).toBe("live");
    world.server.progress("t", 60, "a");
    await world.pass(20);
    expect(late.task.snapshot).toEqual(world.server.snapshot("t"));
    expect(world.commands).toHaveLength(commands);
  });

  it("is not taken for gone while its lock is on the way", async () => {
    world.server.start("t");
    watch();
    await world.pass(50);
    const tab = world.tab();
    tab.lockLag = 30;
    const task = tab.client({}).task("t");
    tab.run(() => task.subscribe(() => {}));
    await world.pass(100);
    world.server.progress("t", 50);
    await world.pass(20);
    expect(task.snapshot).toEqual(world.server.snapshot("t"));
    expect([...world.server.sessions]).toHaveLength(1);
  });

  it("gets every event from the first, if it awaits them", async () => {
    world.server.start("t");
    for (let n = 0; n < 10; n++) world.server.publish("t", "part", { n });
    watch();
    await world.pass(50);
    const tab = world.tab();
    const client = tab.client();
    const seqs: number[] = [];
    const all = tab.run(async () => {
      for await (const { seq } of client.task("t")) seqs.push(seq);
    });
    await world.pass(50);
    world.server.publish("t", "part", { n: 10 });
    world.server.complete("t");
    await world.pass(100);
    await all;
    expect(seqs).toEqual(range(1, 13));
  });

  it("is told the end that was before it came, and why a task cannot be watched", async () => {
    world.server.start("t");
    world.server.complete("t");
    world.server.refusals.set("secret", { code: "FORBIDDEN", message: "", is_retryable: false });
    const first = [watch("t"), watch("secret")];
    await world.pass(50);
    const second = [watch("t"), watch("secret")];
    await world.pass(50);
    for (const pair of [first, second]) expect(pair.map(({ ends }) => ends)).toEqual([["complete"], ["FORBIDDEN"]]);
  });

  it("is told at once that a watch was given up, though the server might be there by now", async () => {
    world.server.start("t");
    for (const name of ["websocket", "fetch-sse", "event-source", "poll"] as const) world.blocked.set(name, "closed");
    const first = watch("t", { maxAttempts: 1 });
    await world.pass(3000);
    expect(first.ends).toEqual(["UNREACHABLE"]);
    const late = watch("t", { maxAttempts: 1 });
    await world.pass(50);
    expect(late.ends).toEqual(["UNREACHABLE"]);
    expect(late.task.connection).toBe("ended");
  });

  it("is told why credentials count no more, without asking again", async () => {
    world.server.start("t");
    world.judge = () => ({ code: 4401, reason: "UNAUTHENTICATED" });
    const first = watch();
    await world.pass(3000);
    expect(first.ends).toEqual(["UNAUTHENTICATED"]);
    const late = watch();
    await world.pass(50);
    expect(late.ends).toEqual(["UNAUTHENTICATED"]);
  });

  it("is told that a task is not there yet", async () => {
    watch("late");
    await world.pass(50);
    const second = watch("late");
    await world.pass(50);
    expect(second.task.view).toMatchObject({ connection: "live", snapshot: null });
    world.server.start("late");
    await world.pass(50);
    expect(second.task.snapshot).toEqual(world.server.snapshot("late"));
  });

  it("sees what happened in a channel before, if it wants that", async () => {
    const first = world.tab();
    const early = first.client().channel("jobs");
    first.run(() => early.subscribe(() => {}));
    await world.pass(50);
    for (const type of ["one", "two", "three"]) world.server.emit("jobs", type);
    await world.pass(50);
    const seen = [];
    for (const replay of ["all", "latest", "none"] as const) {
      const tab = world.tab();
      const channel = tab.client().channel("jobs", { replay });
      tab.run(() => channel.subscribe(() => {}));
      await world.pass(50);
      seen.push(channel.view.events.map(({ event }) => event.event_type));
    }
    expect(seen).toEqual([["one", "two", "three"], ["three"], []]);
    world.server.emit("jobs", "four");
    await world.pass(50);
    expect(early.view.events).toHaveLength(4);
  });
});

describe("when the leader's tab", () => {
  it("is closed, another goes on where it stood, and nobody misses or repeats an event", async () => {
    world.server.start("t");
    const leader = watch();
    await world.pass(50);
    const others = [watch(), watch(), watch()];
    await world.pass(50);
    for (let n = 0; n < 5; n++) {
      world.server.publish("t", "part", { n });
      await world.pass(5);
    }
    leader.tab.close();
    for (let n = 5; n < 10; n++) world.server.publish("t", "part", { n });
    await world.pass(1000);
    world.server.publish("t", "part", { n: 10 });
    await world.pass(50);
    expect(world.server.sessions.size).toBe(1);
    expect(world.count("websocket")).toBe(2);
    expect(world.commands.filter(({ type }) => type === "subscribe").at(-1)).toEqual({
      type: "subscribe",
      topics: [{ task_id: "t", after: "e1:6" }],
    });
    for (const { seqs, task } of others) {
      expect(seqs).toEqual(range(seqs[0]!, 12));
      expect(task.connection).toBe("live");
    }
    world.server.complete("t");
    await world.pass(50);
    expect(others.map(({ ends }) => ends)).toEqual(others.map(() => ["complete"]));
  });

  it("is closed, topics that only others watch go on as well", async () => {
    world.server.start("a");
    world.server.start("b");
    const leader = watch("a");
    await world.pass(50);
    const [second, third] = [watch("b"), watch("a")];
    await world.pass(50);
    leader.tab.close();
    world.server.progress("a", 11);
    world.server.progress("b", 22);
    await world.pass(1000);
    expect([second, third].map(({ task }) => task.snapshot?.progress)).toEqual([22, 11]);
    expect(world.server.sessions.size).toBe(1);
  });

  it("leaves by `pagehide` or is frozen by the browser, it lets go by itself", async () => {
    for (const [type, on, back] of [
      ["pagehide", "window", "pageshow"],
      ["freeze", "document", "resume"],
    ] as const) {
      world.server.start("t");
      const leader = watch();
      await world.pass(50);
      const other = watch();
      await world.pass(50);
      leader.tab.dispatch(type, on);
      await world.pass(100);
      world.server.progress("t", 33);
      await world.pass(100);
      expect(other.task.view).toMatchObject({ connection: "live", snapshot: { progress: 33 } });
      expect(leader.task.connection).toBe("stale");
      leader.tab.dispatch(back, on);
      await world.pass(100);
      expect(leader.task.view).toMatchObject({ connection: "live", snapshot: { progress: 33 } });
      expect(world.server.sessions.size).toBe(1);
      for (const { client, tab } of [leader, other]) tab.run(() => client.close());
      await world.pass(100);
    }
  });

  it("is put aside, it is told of every event of meanwhile when it is back", async () => {
    world.server.start("t");
    const leader = watch();
    await world.pass(50);
    const channel = leader.client.channel("c");
    leader.tab.run(() => channel.subscribe(() => {}));
    const other = watch();
    const others = other.client.channel("c");
    other.tab.run(() => others.subscribe(() => {}));
    await world.pass(50);
    const publish = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n++) {
        world.server.publish("t", "part", { n });
        world.server.emit("c", "word", { n });
        await world.pass(5);
      }
    };
    await publish(3);
    leader.tab.dispatch("freeze", "document");
    await world.pass(100);
    await publish(5);
    expect(leader.seqs).toEqual(range(1, 4));
    leader.tab.dispatch("resume", "document");
    // What comes while it asks for the others.
    await publish(20);
    await world.pass(100);
    expect(leader.seqs).toEqual(range(1, 29));
    expect(channel.view.events.map(({ channel_seq }) => channel_seq)).toEqual(range(1, 28));
    expect(world.server.sessions.size).toBe(1);
    expect(leader.task.snapshot).toEqual(other.task.snapshot);
  });

  it("sleeps without a word, it is asked and then its lock is taken; awake again, it follows", async () => {
    world.server.start("t");
    const leader = watch();
    await world.pass(50);
    const others = [watch(), watch()];
    await world.pass(50);
    leader.tab.freeze();
    world.server.publish("t", "part", {});
    await world.pass(2 * ALIVE_MS + ANSWER_MS + 3000);
    expect(others.map(({ task }) => [task.connection, task.snapshot?.seq])).toEqual([
      ["live", 2],
      ["live", 2],
    ]);
    leader.tab.thaw();
    await world.pass(100);
    world.server.publish("t", "part", {});
    await world.pass(1000);
    expect(leader.task.view).toMatchObject({ connection: "live", snapshot: { seq: 3 } });
    expect(leader.seqs).toEqual([1, 2, 3]);
    expect(world.server.sessions.size).toBe(1);
  });

  it("sleeps when a new one comes, that does not wait for long", async () => {
    world.server.start("t");
    const leader = watch();
    await world.pass(50);
    leader.tab.freeze();
    const late = watch();
    await world.pass(ANSWER_MS + 2000);
    expect(late.task.connection).toBe("live");
  });

  it("is alive but has nothing to tell, it is left in peace", async () => {
    world.server.start("t");
    watch();
    await world.pass(50);
    watch();
    for (let minute = 0; minute < 10; minute++) {
      await world.pass(25_000);
      world.server.beat();
    }
    expect(world.count("websocket")).toBe(1);
  });
});

it("what comes before the verdict about a topic that another tab wants counts for nothing", () => {
  const client = world.client() as Client;
  // It was let go here a moment ago: its last events are on their way still.
  const wanted = { key: "tt", watch: 1, id: "t", isChannel: false, replay: "all", after: "e1:3" } as const;
  const topic = client.lend(wanted);
  const end = { task_id: "t", epoch: "e1", seq: 4, event_type: "complete", timestamp: "", data: { status: "completed" } };
  expect(client.take(end)).toBe(true);
  expect([topic.done, topic.place]).toEqual([false, { epoch: "e1", last: 3 }]);
});

it("a lost connection is seen by all tabs, and so is its return", async () => {
  world.server.start("t");
  watch();
  await world.pass(50);
  const other = watch();
  await world.pass(50);
  world.server.closeAll();
  await world.pass(5);
  expect(other.task.connection).toBe("stale");
  world.server.progress("t", 66);
  await world.pass(1000);
  expect(other.task.view).toMatchObject({ connection: "live", snapshot: { progress: 66 } });
});

it("a refusal of the whole connection ends what all tabs watch", async () => {
  world.server.start("t");
  const both = [watch(), watch()];
  await world.pass(50);
  world.server.closeAll(4403, "FORBIDDEN");
  await world.pass(50);
  expect(both.map(({ ends }) => ends)).toEqual([["FORBIDDEN"], ["FORBIDDEN"]]);
});

it("requests go from each tab by itself", async () => {
  world.server.start("t");
  watch();
  await world.pass(50);
  const other = watch("t", { getToken: () => "of the other" });
  await world.pass(50);
  void other.tab.run(() => other.task.cancel());
  await world.pass(50);
  expect(world.requests).toMatchObject([{ url: "/tasks/t/cancel", token: "of the other" }]);
});

it("where there are no locks, or no channel between tabs, each tab is for itself", async () => {
  world.server.start("t");
  vi.stubGlobal("navigator", {});
  watch();
  watch();
  await world.pass(50);
  expect(world.count("websocket")).toBe(2);
});
