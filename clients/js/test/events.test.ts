import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { World } from "./support/world.js";
import { LINGER_MS } from "../src/client.js";
import type {
  ChannelEvent,
  ClientOptions,
  ConnectionState,
  ProgressEvent,
  Replay,
  TaskHandle,
  TransportName,
} from "../src/types.js";

let world: World;
beforeEach(() => {
  world = new World();
  world.install();
});
afterEach(() => world.uninstall());

describe("the end", () => {
  const ends = async (status: string, more: object = {}): Promise<[string, unknown][]> => {
    world.server.start("t");
    const told: [string, unknown][] = [];
    const options = {
      onComplete: (result: unknown) => void told.push(["complete", result]),
      onError: ({ code }: { code: string }) => void told.push(["error", code]),
    };
    const client = world.client();
    const stop = client.task("t", options).subscribe(() => {});
    client.task("t", options).subscribe(() => {});
    await world.pass();
    world.server.closeAll();
    world.server.complete("t", status, more);
    await world.pass(2000);
    stop();
    client.task("t", options).subscribe(() => {});
    await world.pass(2000);
    client.task("t", options).subscribe(() => {});
    await world.pass(1000);
    return told;
  };

  it("is told once, through reconnects and however often it is watched", async () => {
    expect(await ends("completed", { result: { n: 1 } })).toEqual([["complete", { n: 1 }]]);
  });

  it("is an error, told once, if it is any other", async () => {
    expect(await ends("failed", { error: { code: "NO_GPU", message: "none" } })).toEqual([["error", "NO_GPU"]]);
  });

  it("without an error of its own has its state's name", async () => {
    expect(await ends("cancelled")).toEqual([["error", "CANCELLED"]]);
  });

  it("from before anybody watched is told as well, to each who asks", async () => {
    world.server.start("t");
    world.server.complete("t");
    const client = world.client();
    const [first, second] = [vi.fn(), vi.fn()];
    client.task("t", { onComplete: first }).subscribe(() => {});
    await world.pass();
    client.task("t", { onComplete: second }).subscribe(() => {});
    expect([first, second].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  });
});

describe("iteration", () => {
  it("begins with what was before, and ends with the end", async () => {
    world.server.start("t");
    for (let n = 0; n < 20; n++) world.server.publish("t", "part", { n });
    const client = world.client();
    client.task("t").subscribe(() => {});
    await world.pass();
    const seqs: number[] = [];
    const all = (async () => {
      for await (const { seq } of client.task("t")) seqs.push(seq);
    })();
    for (let n = 0; n < 20; n++) {
      world.server.publish("t", "part", { n });
      await world.pass(1);
    }
    world.server.complete("t");
    await world.pass(100);
    await all;
    expect(seqs).toEqual(Array.from({ length: 42 }, (_, n) => n + 1));
  });

  it("of a slow reader holds so many events, and asks for the others when it comes to them", async () => {
    world.server.start("t");
    const client = world.client();
    const events = client.task("t")[Symbol.asyncIterator]();
    const first = events.next();
    await world.pass(100);
    expect((await first).value).toMatchObject({ seq: 1 });
    for (let n = 0; n < 1300; n++) world.server.publish("t", "part", { n });
    world.server.complete("t");
    await world.pass(100);
    const seqs: number[] = [];
    for (;;) {
      const next = events.next();
      await world.pass(2);
      const { value, done } = await next;
      if (done) break;
      seqs.push((value as ProgressEvent).seq);
      if (seqs.length > 1) continue;
      expect(world.requests.some(({ url }) => url.includes("/history"))).toBe(true);
    }
    expect(seqs).toEqual(Array.from({ length: 1301 }, (_, n) => n + 2));
  });

  it("lets go of the task when it is left", async () => {
    world.server.start("t");
    const client = world.client();
    const left = (async () => {
      for await (const event of client.task("t")) if (event) break;
    })();
    await world.pass(100);
    await left;
    await world.pass(LINGER_MS + 10);
    expect(world.server.sessions.size).toBe(0);
  });

  it("of a group ends when all have ended", async () => {
    for (const id of ["a", "b"]) world.server.start(id);
    const got: string[] = [];
    const all = (async () => {
      for await (const { task_id, event_type } of world.client().tasks(["a", "b"]))
        got.push(`${task_id} ${event_type}`);
    })();
    await world.pass(50);
    world.server.complete("b");
    await world.pass(50);
    world.server.complete("a");
    await world.pass(50);
    await all;
    expect(got).toEqual(["a started", "b started", "b complete", "a complete"]);
  });

  it("waits for history that cannot be had for now", async () => {
    world.server.start("t");
    for (let n = 0; n < 5; n++) world.server.publish("t", "part", { n });
    const client = world.client();
    client.task("t").subscribe(() => {});
    await world.pass();
    world.blocked.set("poll", "closed");
    const seqs: number[] = [];
    void (async () => {
      for await (const { seq } of client.task("t")) seqs.push(seq);
    })();
    await world.pass(5000);
    expect(seqs).toEqual([]);
    world.blocked.clear();
    await world.pass(2100);
    expect(seqs).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("throws why a task cannot be watched, and of a group goes on with the others", async () => {
    world.server.start("t");
    world.server.refusals.set("secret", { code: "FORBIDDEN", message: "", is_retryable: false });
    const client = world.client();
    const alone = (async () => {
      for await (const event of client.task("secret")) expect(event).toBeUndefined();
    })();
    const got: string[] = [];
    const together = (async () => {
      for await (const { task_id, event_type } of client.tasks(["secret", "t"])) got.push(`${task_id} ${event_type}`);
    })();
    await Promise.all([world.pass(50), expect(alone).rejects.toMatchObject({ code: "FORBIDDEN" })]);
    world.server.complete("t");
    await world.pass(50);
    await together;
    expect(got).toEqual(["t started", "t complete"]);
  });

  it("ends when the client is closed, whatever is under way", async () => {
    world.server.start("t");
    const client = world.client();
    client.task("t").subscribe(() => {});
    await world.pass();
    world.blocked.set("poll", "closed");
    const both = Promise.all(
      [client.task("t"), client.channel("jobs")].map(async (topic) => {
        for await (const event of topic as AsyncIterable<unknown>) expect(event).toBeUndefined();
      }),
    );
    await world.pass(100);
    client.close();
    await world.pass(2100);
    await both;
    expect(vi.getTimerCount()).toBe(0);
  });

  it("of a channel gives what happens", async () => {
    const client = world.client();
    const got: ChannelEvent[] = [];
    void (async () => {
      for await (const event of client.channel("jobs", { replay: "all" })) got.push(event);
    })();
    world.server.emit("jobs", "one");
    await world.pass(50);
    world.server.closeAll();
    world.server.emit("jobs", "two");
    await world.pass(1000);
    expect(got.map(({ event }) => event.event_type)).toEqual(["one", "two"]);
  });
});

describe("a task that ran for long", () => {
  const transports = ["websocket", "fetch-sse", "event-source", "poll"] as const;

  /** Watches a task of 21 events, ten of them log lines, from where `replay` says. */
  const watch = async (
    transport: TransportName,
    replay: Replay,
    more: Partial<ClientOptions> = {},
  ): Promise<{ readonly seqs: number[]; readonly ends: string[]; readonly task: TaskHandle }> => {
    const seqs: number[] = [];
    const ends: string[] = [];
    const task = world.client({ transports: [transport], ...more }).task("t", {
      replay,
      onEvent: ({ seq }) => seqs.push(seq),
      onComplete: () => ends.push("complete"),
    });
    task.subscribe(() => {});
    await world.pass(100);
    return { seqs, ends, task };
  };

  const run = (): void => {
    world.server.start("t");
    for (let n = 1; n <= 10; n++) {
      world.server.publish("t", "log", { n, level: "INFO", message: `${n}` });
      world.server.progress("t", n);
    }
  };

  it.each(transports)("is told from where on one asks, by %s", async (transport) => {
    run();
    const all = await watch(transport, "all");
    const latest = await watch(transport, "latest");
    const none = await watch(transport, "none");
    for (const { task } of [all, latest, none]) expect(task.snapshot).toEqual(world.server.snapshot("t"));
    expect([all, latest, none].map(({ seqs }) => seqs.at(0))).toEqual([1, 21, undefined]);
    expect([all, latest, none].map(({ task }) => task.view.logs.length)).toEqual([10, 0, 0]);
    world.server.publish("t", "log", { n: 11, level: "INFO", message: "11" });
    world.server.complete("t");
    await world.pass(1000);
    expect(latest.seqs).toEqual([21, 22, 23]);
    expect(none.seqs).toEqual([22, 23]);
    for (const { task, ends } of [all, latest, none]) {
      expect(task.snapshot).toEqual(world.server.snapshot("t"));
      expect(ends).toEqual(["complete"]);
    }
  });

  it.each(transports)("misses nothing by a connection that is lost before anything has come, by %s", async (transport) => {
    run();
    const { seqs } = await watch(transport, "none");
    world.server.closeAll();
    world.blocked.set(transport, "closed");
    world.server.publish("t", "part", {});
    await world.pass(100);
    world.blocked.clear();
    world.server.publish("t", "part", {});
    await world.pass(40_000);
    expect(seqs).toEqual([22, 23]);
  });

  it.each(transports)("and has ended is told as that, whatever was asked for, by %s", async (transport) => {
    run();
    world.server.complete("t");
    for (const replay of ["all", "latest", "none"] as const) {
      const { ends, task } = await watch(transport, replay);
      expect(ends).toEqual(["complete"]);
      expect(task.view).toMatchObject({ connection: "ended", snapshot: { state: "completed" } });
    }
  });

  it.each(transports)("is told from its beginning where it begins again, by %s", async (transport) => {
    run();
    const { seqs } = await watch(transport, "none");
    world.server.start("t");
    world.server.publish("t", "part", {});
    await world.pass(30_000);
    expect(seqs).toEqual([1, 2]);
  });

  it("is told by the grant of an event source from where one asks, too", async () => {
    run();
    const { seqs, task } = await watch("event-source", "none", { getGrant: (id) => `grant-${id}` });
    expect(world.opened.at(-1)!.url).toBe("http://server/sse/progress/t?grant=grant-t&replay=none");
    expect(seqs).toEqual([]);
    expect(task.snapshot).toEqual(world.server.snapshot("t"));
  });

  it("is awaited from its first event all the same", async () => {
    run();
    world.server.complete("t");
    const task = world.client().task("t", { replay: "none" });
    const seqs: number[] = [];
    const all = (async () => {
      for await (const { seq } of task) seqs.push(seq);
    })();
    await world.pass(100);
    await all;
    expect([seqs.at(0), seqs.at(-1)]).toEqual([1, 22]);
  });

  it("is told to other tabs from there on as well, and to a group", async () => {
    run();
    const tabs = [world.tab(), world.tab()];
    const seen = tabs.map((tab) => {
      const seqs: number[] = [];
      const group = tab.client().tasks(["t"], { replay: "none", onEvent: ({ seq }) => seqs.push(seq) });
      tab.run(() => group.subscribe(() => {}));
      return { seqs, group };
    });
    await world.pass(100);
    world.server.publish("t", "part", {});
    await world.pass(100);
    tabs[0]!.close();
    world.server.publish("t", "part", {});
    await world.pass(1000);
    expect(seen[1]!.seqs).toEqual([22, 23]);
    expect(seen[1]!.group.views.get("t")!.snapshot).toEqual(world.server.snapshot("t"));
  });
});

describe("a channel", () => {
  it("that is watched from now on misses nothing by a lost connection, even before its first event", async () => {
    world.server.emit("jobs", "old");
    const channel = world.client().channel("jobs");
    channel.subscribe(() => {});
    await world.pass();
    world.server.closeAll();
    world.server.emit("jobs", "new");
    await world.pass(1000);
    expect(channel.view.events.map(({ event }) => event.event_type)).toEqual(["new"]);
  });

  it("keeps the newest events, as many as it may", async () => {
    const channel = world.client({ channelEvents: 3 }).channel("jobs", { replay: "all" });
    channel.subscribe(() => {});
    for (let n = 0; n < 10; n++) world.server.emit("jobs", `e${n}`);
    await world.pass();
    expect(channel.view.events.map(({ channel_seq }) => channel_seq)).toEqual([8, 9, 10]);
  });

  it("that begins again is read from its beginning", async () => {
    const channel = world.client().channel("jobs");
    channel.subscribe(() => {});
    world.server.emit("jobs", "one");
    await world.pass();
    world.server.channels.clear();
    world.server.closeAll();
    world.server.emit("jobs", "two");
    await world.pass(1000);
    expect(channel.view.events.at(-1)!.event.event_type).toBe("two");
    expect(channel.view.connection).toBe("live");
  });
});

it("a client that is closed does nothing more", async () => {
  world.server.start("t");
  const client = world.client();
  const task = client.task("t");
  const seen: ConnectionState[] = [];
  task.subscribe(({ connection }) => seen.push(connection));
  await world.pass();
  client.close();
  await world.pass(100);
  expect(client.connection).toBe("ended");
  expect(seen.at(-1)).toBe("ended");
  client.task("u").subscribe(() => {});
  await world.pass(100_000);
  expect(world.count("websocket")).toBe(1);
  expect(vi.getTimerCount()).toBe(0);
});
