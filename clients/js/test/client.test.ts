import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { World } from "./support/world.js";
import { LINGER_MS } from "../src/client.js";
import type { TaskView } from "../src/types.js";

let world: World;
beforeEach(() => {
  world = new World();
  world.install();
});
afterEach(() => world.uninstall());

const subscribes = (): unknown[] =>
  world.commands.filter(({ type }) => type === "subscribe").flatMap(({ topics }) => topics);

describe("a task", () => {
  it("is shown from the first word of the server to its end", async () => {
    world.server.start("t", "a", "b");
    const client = world.client();
    const states: string[] = [];
    const task = client.task("t");
    expect(task.view).toMatchObject({ connection: "idle", snapshot: null, logs: [], error: null });
    task.subscribe(({ connection, snapshot }) => states.push(`${connection} ${snapshot?.progress}`));
    await world.pass();
    world.server.progress("t", 40);
    await world.pass();
    world.server.complete("t");
    await world.pass();
    expect(states).toEqual(["connecting undefined", "live 0", "live 40", "ended 100"]);
    expect(task.snapshot).toEqual(world.server.snapshot("t"));
  });

  it("keeps its view the same object until something changes", async () => {
    world.server.start("t");
    const task = world.client().task("t");
    task.subscribe(() => {});
    await world.pass();
    const { view } = task;
    world.server.beat();
    await world.pass();
    expect(task.view).toBe(view);
    world.server.progress("t", 10);
    await world.pass();
    expect(task.view).not.toBe(view);
    expect(view.snapshot?.progress).toBe(0);
  });

  it("is one watch however often it is asked for, and lets go a moment after the last", async () => {
    world.server.start("t");
    const client = world.client();
    const first = client.task("t").subscribe(() => {});
    const second = client.task("t").subscribe(() => {});
    await world.pass();
    expect(subscribes()).toEqual([{ task_id: "t", replay: "all" }]);
    first();
    second();
    // Mounted anew at once, as by React in its strict mode.
    const third = client.task("t").subscribe(() => {});
    await world.pass(LINGER_MS);
    expect(subscribes()).toHaveLength(1);
    expect(world.commands.filter(({ type }) => type === "unsubscribe")).toEqual([]);
    third();
    await world.pass(LINGER_MS + 10);
    expect(world.server.sessions.size).toBe(0);
    expect(client.connection).toBe("idle");
  });

  it("is let go alone where others are watched", async () => {
    world.server.start("a");
    world.server.start("b");
    const client = world.client();
    const stop = client.task("a").subscribe(() => {});
    client.task("b").subscribe(() => {});
    await world.pass();
    stop();
    await world.pass(LINGER_MS + 10);
    expect(world.commands.at(-1)).toEqual({ type: "unsubscribe", topics: [{ task_id: "a" }] });
    expect([...[...world.server.sessions][0]!.cursors.keys()]).toEqual(["tb"]);
  });

  it("goes on where it stood when it is watched again", async () => {
    world.server.start("t");
    const client = world.client();
    const task = client.task("t");
    task.subscribe(() => {})();
    task.subscribe(() => {});
    await world.pass();
    task.subscribe(() => {})();
    const stop = task.subscribe(() => {});
    stop();
    await world.pass();
    expect(task.view.connection).toBe("live");
  });

  it("calls a listener once for what comes at once, and not after it has left", async () => {
    world.server.start("t");
    world.blocked.set("websocket", "closed");
    const client = world.client({ transports: ["fetch-sse"] });
    const views: TaskView[] = [];
    const stop = client.task("t").subscribe((view) => views.push(view));
    await world.pass(50);
    const [session] = world.server.sessions;
    session!.isSlow = true;
    for (let n = 0; n < 50; n++) world.server.publish("t", "log", { n: n + 1, level: "INFO", message: `${n}` });
    session!.isSlow = false;
    session!.flush();
    const before = views.length;
    await world.pass();
    expect(views.at(-1)!.logs).toHaveLength(50);
    expect(views.length - before).toBe(1);
    stop();
    const after = views.length;
    world.server.progress("t", 10);
    await world.pass();
    expect(views).toHaveLength(after);
  });

  it("a listener that throws breaks nobody else", async () => {
    const told = vi.fn();
    vi.stubGlobal("reportError", told);
    world.server.start("t");
    const client = world.client();
    const seen: (number | undefined)[] = [];
    const task = client.task("t", {
      onEvent: () => {
        throw new Error("event");
      },
    });
    task.subscribe(() => {
      throw new Error("view");
    });
    client.task("t").subscribe(({ snapshot }) => seen.push(snapshot?.seq));
    await world.pass();
    world.server.progress("t", 10);
    await world.pass();
    expect(seen).toContain(2);
    expect(new Set(told.mock.calls.map(([error]) => (error as Error).message))).toEqual(new Set(["view", "event"]));
  });

  it("keeps the newest lines of its log, as many as it may", async () => {
    world.server.start("t");
    const task = world.client({ logLines: 5 }).task("t");
    task.subscribe(() => {});
    for (let n = 1; n <= 12; n++) world.server.publish("t", "log", { n, level: "INFO", message: `${n}` });
    await world.pass();
    expect(task.view.logs.map(({ n }) => n)).toEqual([8, 9, 10, 11, 12]);
  });

  it("that is no id at all, or a channel that is none, is refused here", async () => {
    const client = world.client();
    const onError = vi.fn();
    client.task("no spaces", { onError }).subscribe(() => {});
    await world.pass();
    expect(onError.mock.calls[0]![0]).toMatchObject({ code: "INVALID_TASK_ID" });
    for (const name of ["_mine", "a,b", ""])
      expect(client.channel(name).view.error).toMatchObject({ code: "INVALID_CHANNEL" });
    expect(client.channel("_tasks").view.error).toBeNull();
    expect(world.opened).toEqual([]);
  });

  it("is asked to stop, with the token", async () => {
    world.server.start("t");
    const client = world.client({ getToken: () => "secret" });
    const cancelled = client.task("t").cancel("enough");
    await world.pass();
    await cancelled;
    expect(world.requests).toEqual([
      { method: "POST", url: "/tasks/t/cancel", token: "secret", body: '{"reason":"enough"}' },
    ]);
  });
});

describe("a group", () => {
  it("asks those to stop that have not ended, and rejects with what was said against it", async () => {
    for (const id of ["a", "b", "c"]) world.server.start(id);
    world.server.complete("b");
    const group = world.client().tasks(["a", "b", "c"]);
    group.subscribe(() => {});
    await world.pass(100);
    const cancelled = group.cancel("enough");
    await world.pass();
    await cancelled;
    expect(world.requests.map(({ url, body }) => [url, body])).toEqual([
      ["/tasks/a/cancel", '{"reason":"enough"}'],
      ["/tasks/c/cancel", '{"reason":"enough"}'],
    ]);
    world.blocked.set("poll", 403);
    const refused = expect(group.cancel()).rejects.toMatchObject({ code: "HTTP_403" });
    await world.pass();
    await refused;
    expect(world.requests).toHaveLength(4);
  });
});

describe("a task that is not there", () => {
  it("is shown when it appears", async () => {
    const task = world.client().task("late");
    task.subscribe(() => {});
    await world.pass(5000);
    expect(task.view).toMatchObject({ connection: "live", snapshot: null });
    world.server.start("late");
    world.server.progress("late", 7);
    await world.pass();
    expect(task.view).toMatchObject({ connection: "live", snapshot: { progress: 7 } });
  });

  it.each(["websocket", "fetch-sse", "event-source", "poll"] as const)(
    "is told apart from one of a server that does not answer, by %s",
    async (transport) => {
      world.blocked.set(transport, "silent");
      const task = world.client({ transports: [transport] }).task("late");
      const states: string[] = [];
      task.subscribe(({ connection }) => states.push(connection));
      await world.pass(3000);
      expect(task.view).toMatchObject({ connection: "connecting", snapshot: null });
      world.blocked.clear();
      await world.pass(15_000);
      const link = transport === "poll" ? "polling" : "live";
      expect(task.view).toMatchObject({ connection: link, snapshot: null, error: null });
      world.server.closeAll();
      world.blocked.set(transport, "closed");
      await world.pass(100);
      world.server.start("late");
      world.blocked.clear();
      await world.pass(15_000);
      expect(task.view).toMatchObject({ connection: link, snapshot: { progress: 0 } });
    },
  );

  it("any more is waited for on the same connection, and shown as it was", async () => {
    world.server.start("t");
    world.server.progress("t", 70);
    const task = world.client().task("t");
    task.subscribe(() => {});
    await world.pass();
    world.server.restart();
    await world.pass(5000);
    expect(task.view.snapshot).toMatchObject({ progress: 70 });
    const opened = world.count("websocket");
    world.server.start("t");
    world.server.progress("t", 7);
    await world.pass();
    expect(task.view).toMatchObject({ connection: "live", snapshot: { progress: 7 } });
    expect([world.count("websocket"), opened]).toEqual([2, 2]);
  });

  it("is an error when it never does, and others go on", async () => {
    world.server.start("t");
    const client = world.client();
    const onError = vi.fn();
    client.task("nobody", { onError }).subscribe(() => {});
    client.task("t").subscribe(() => {});
    await world.pass(10_100);
    expect(onError).toHaveBeenCalledTimes(1);
    expect(onError.mock.calls[0]![0]).toMatchObject({ code: "TASK_NOT_FOUND", isRetryable: false });
    expect(client.task("nobody").connection).toBe("ended");
    expect(client.task("t").connection).toBe("live");
  });

  it("that was refused for now is asked for again, later and later", async () => {
    world.server.start("t");
    world.server.refusals.set("t", { code: "TRANSPORT_DOWN", message: "", is_retryable: true });
    const onError = vi.fn();
    const task = world.client().task("t", { onError });
    task.subscribe(() => {});
    await world.pass(120_000);
    const asked = subscribes().length;
    expect(asked).toBeGreaterThan(3);
    expect(asked).toBeLessThan(15);
    world.server.refusals.clear();
    for (let passed = 0; passed < 61 && task.connection !== "live"; passed++) await world.pass(1000);
    expect(task.connection).toBe("live");
    expect(onError).not.toHaveBeenCalled();
  });
});

describe("what the server repairs", () => {
  it("history changes no state, but is told as events and lines", async () => {
    world.server.start("t");
    world.server.publish("t", "log", { n: 1, level: "INFO", message: "old" });
    world.server.progress("t", 30);
    const events: string[] = [];
    const task = world.client().task("t", { onEvent: ({ event_type }) => events.push(event_type) });
    const seen: number[] = [];
    task.subscribe(({ snapshot }) => snapshot && seen.push(snapshot.progress));
    await world.pass();
    expect(events).toEqual(["started", "log", "progress_update"]);
    expect(task.view.logs).toMatchObject([{ message: "old" }]);
    expect(new Set(seen)).toEqual(new Set([30]));
  });

  it("a gap puts its snapshot in place, and what is retained goes on", async () => {
    world.server.start("t");
    const client = world.client();
    const task = client.task("t");
    task.subscribe(() => {});
    await world.pass();
    const [session] = world.server.sessions;
    session!.isSlow = true;
    world.server.publish("t", "paused");
    world.server.publish("t", "part", { url: 1 }, "p");
    world.server.publish("t", "resumed");
    world.server.forget("t", 3);
    await world.pass();
    expect(task.snapshot).toMatchObject({ seq: 4, state: "running", custom: { p: { url: 1 } } });
    session!.isSlow = false;
    world.server.progress("t", 80);
    await world.pass();
    expect(task.snapshot).toEqual(world.server.snapshot("t"));
    expect(world.count("websocket")).toBe(1);
  });

  it("a reset is another run: its own state, its own log, its own end", async () => {
    world.server.start("t");
    const onComplete = vi.fn();
    const task = world.client().task("t", { onComplete });
    task.subscribe(() => {});
    world.server.publish("t", "log", { n: 1, level: "INFO", message: "first run" });
    world.server.progress("t", 90);
    await world.pass();
    world.server.start("t");
    world.server.publish("t", "log", { n: 1, level: "INFO", message: "second run" });
    await world.pass();
    expect(task.view).toMatchObject({ snapshot: { progress: 0 }, logs: [{ message: "second run" }] });
    world.server.complete("t");
    await world.pass();
    expect(onComplete).toHaveBeenCalledTimes(1);
  });

  it("a server that has forgotten what it told is followed back", async () => {
    world.server.start("t");
    const task = world.client().task("t");
    task.subscribe(() => {});
    world.server.progress("t", 10);
    world.server.progress("t", 90);
    await world.pass();
    const log = world.server.tasks.get("t")!;
    const { epoch } = log;
    world.server.closeAll();
    world.server.start("t");
    Object.assign(world.server.tasks.get("t")!, {
      epoch,
      events: world.server.tasks.get("t")!.events.map((event) => ({ ...event, epoch })),
    });
    const known = world.server.tasks.get("t")!;
    known.folded = { ...known.folded, snapshot: { ...known.folded.snapshot, epoch } };
    await world.pass(2000);
    expect(task.snapshot).toMatchObject({ seq: 1, progress: 0 });
    world.server.progress("t", 5);
    await world.pass();
    expect(task.snapshot).toMatchObject({ seq: 2, progress: 5 });
  });

  it("an undeclared hole is filled by coming back with the last position", async () => {
    world.server.start("t");
    const task = world.client().task("t");
    task.subscribe(() => {});
    await world.pass();
    const [session] = world.server.sessions;
    for (const cursor of session!.cursors.values()) cursor.last = 2;
    world.server.publish("t", "part", {}, "lost");
    world.server.publish("t", "part", {}, "found");
    await world.pass(2000);
    expect(world.count("websocket")).toBe(2);
    expect(subscribes().at(-1)).toEqual({ task_id: "t", after: expect.stringMatching(/:1$/) });
    expect(task.snapshot).toEqual(world.server.snapshot("t"));
  });
});

describe("many topics", () => {
  it("go in commands of a hundred", async () => {
    const ids = Array.from({ length: 250 }, (_, n) => `t${n}`);
    for (const id of ids) world.server.start(id);
    const group = world.client().tasks(ids);
    group.subscribe(() => {});
    await world.pass();
    expect(world.commands.map(({ type, topics }) => [type, (topics as object[]).length])).toEqual([
      ["subscribe", 100],
      ["subscribe", 100],
      ["subscribe", 50],
    ]);
    expect([...group.views.values()].every(({ connection }) => connection === "live")).toBe(true);
  });

  it("go in few streams of sixty-four, or are polled where they are too many", async () => {
    const ids = Array.from({ length: 200 }, (_, n) => `t${n}`);
    for (const id of ids) world.server.start(id);
    const client = world.client({ transports: ["fetch-sse", "poll"] });
    const group = client.tasks(ids);
    group.subscribe(() => {});
    await world.pass(100);
    expect(world.opened.map(({ url }) => new URL(url).searchParams.get("ids")!.split(",").length)).toEqual([
      64, 64, 64, 8,
    ]);
    const more = Array.from({ length: 100 }, (_, n) => `u${n}`);
    for (const id of more) world.server.start(id);
    const others = client.tasks(more);
    others.subscribe(() => {});
    await world.pass(10_000);
    expect(client.transport).toBe("poll");
    expect([...others.views.values()].every(({ snapshot }) => snapshot)).toBe(true);
  });

  it("that came one after the other are soon in one stream, and nothing is told twice or missed", async () => {
    const client = world.client({ transports: ["fetch-sse"] });
    const told: string[] = [];
    for (let n = 0; n < 3; n++) {
      world.server.start(`t${n}`);
      client.task(`t${n}`, { onEvent: ({ task_id, seq }) => told.push(`${task_id} ${seq}`) }).subscribe(() => {});
      await world.pass(300);
    }
    expect(world.opened).toHaveLength(3);
    for (let n = 0; n < 100; n++) {
      world.server.progress("t1", n);
      await world.pass(50);
    }
    const query = new URL(world.opened.at(-1)!.url).searchParams;
    expect(query.get("ids")).toBe("t0,t1,t2");
    expect(query.get("after")).not.toContain("-,");
    expect(world.opened).toHaveLength(4);
    expect(world.server.sessions.size).toBe(1);
    expect(told.filter((event) => event.startsWith("t1"))).toHaveLength(101);
    expect(new Set(told).size).toBe(told.length);
  });

  it("do not change faster than the server takes commands", async () => {
    const client = world.client();
    world.server.start("keep");
    client.task("keep").subscribe(() => {});
    await world.pass();
    for (let n = 0; n < 300; n++) {
      client.task(`t${n}`).subscribe(() => {});
      await world.pass(20);
    }
    expect(world.commands.length).toBeLessThan(130);
    await world.pass(5000);
    expect(subscribes()).toHaveLength(301);
  });

  it("a group calls once for all that change together, in the order that was asked for", async () => {
    const ids = ["z", "a", "m"];
    for (const id of ids) world.server.start(id);
    const group = world.client().tasks([...ids, "a"]);
    const sizes: string[][] = [];
    group.subscribe((views) =>
      sizes.push([...views.values()].filter(({ snapshot }) => snapshot).map(({ taskId }) => taskId)),
    );
    await world.pass();
    expect([...group.views.keys()]).toEqual(ids);
    expect(sizes.at(-1)).toEqual(ids);
    expect(group.views).toBe(group.views);
  });
});
