import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { World } from "./support/world.js";
import { LINGER_MS } from "../src/client.js";
import type { ChannelEvent, ConnectionState, ProgressEvent, TaskView } from "../src/types.js";

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

describe("a task that is not there", () => {
  it("is shown when it appears", async () => {
    const task = world.client().task("late");
    task.subscribe(() => {});
    await world.pass(5000);
    expect(task.view).toMatchObject({ connection: "connecting", snapshot: null });
    world.server.start("late");
    world.server.progress("late", 7);
    await world.pass();
    expect(task.view).toMatchObject({ connection: "live", snapshot: { progress: 7 } });
  });

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

describe("a connection that is lost", () => {
  it("comes back where it was: stale, resyncing, live", async () => {
    world.server.start("t");
    const client = world.client();
    const states: ConnectionState[] = [];
    const events: number[] = [];
    const task = client.task("t", { onEvent: ({ seq }) => events.push(seq) });
    task.subscribe(({ connection }) => states.at(-1) !== connection && states.push(connection));
    await world.pass();
    world.server.closeAll();
    world.server.publish("t", "paused");
    world.server.publish("t", "resumed");
    await world.pass(600);
    expect(states).toEqual(["connecting", "live", "stale", "resyncing", "live"]);
    expect(events).toEqual([1, 2, 3]);
    expect(client.transport).toBe("websocket");
  });

  it("is noticed by its silence, and heartbeats are answered", async () => {
    world.server.start("t");
    const task = world.client().task("t");
    task.subscribe(() => {});
    await world.pass(30_000);
    world.server.beat();
    await world.pass(59_000);
    expect(task.connection).toBe("live");
    expect(world.commands.filter(({ type }) => type === "pong")).toHaveLength(1);
    await world.pass(2_000);
    expect(world.count("websocket")).toBe(2);
  });

  it("is asked after a sleep, and made anew if it does not answer", async () => {
    world.server.start("t");
    const tab = world.tab();
    const client = tab.client({ share: false });
    const task = client.task("t");
    task.subscribe(() => {});
    const sleep = async (): Promise<void> => {
      await world.pass(29_000);
      world.server.beat();
      await world.pass(500);
      // The clock goes on, the timers do not.
      vi.setSystemTime(Date.now() + 35_000);
      await world.pass(1000);
    };
    await sleep();
    expect(world.commands.at(-1)).toEqual({ type: "ping" });
    await world.pass(10_000);
    expect(world.count("websocket")).toBe(1);
    await world.pass(20_000);
    for (const session of world.server.sessions) session.pipe.send = () => {};
    tab.dispatch("offline");
    await world.pass(5600);
    expect(world.count("websocket")).toBe(2);
    client.close();
  });

  it("is tried at once when the page is looked at or the network is back", async () => {
    world.server.start("t");
    for (const wake of [
      ["online", "window"],
      ["visibilitychange", "document"],
    ] as const) {
      const tab = world.tab();
      world.luck = 0.99;
      const client = tab.client({ share: false, transports: ["websocket"], backoff: { min: 30_000 } });
      const task = client.task("t");
      task.subscribe(() => {});
      await world.pass();
      world.server.closeAll();
      await world.pass(100);
      expect(task.connection).toBe("stale");
      tab.dispatch(wake[0], wake[1]);
      await world.pass(100);
      expect(task.connection).toBe("live");
      client.close();
    }
  });

  it("is let go of while the page is kept for `back`, and made anew when it is shown", async () => {
    world.server.start("t");
    const tab = world.tab();
    const client = tab.client({ share: false });
    const task = client.task("t");
    task.subscribe(() => {});
    await world.pass();
    tab.dispatch("pagehide");
    await world.pass();
    expect(world.server.sessions.size).toBe(0);
    expect(task.connection).toBe("stale");
    world.server.progress("t", 55);
    tab.dispatch("pageshow");
    await world.pass();
    expect(task.view).toMatchObject({ connection: "live", snapshot: { progress: 55 } });
    client.close();
  });

  it("moves to another node before the one that drains is left", async () => {
    world.server.start("t");
    const states: ConnectionState[] = [];
    world
      .client()
      .task("t")
      .subscribe(({ connection }) => states.at(-1) !== connection && states.push(connection));
    await world.pass();
    const [old] = world.server.sessions;
    old!.pipe.send({ event_type: "draining", data: { reconnect_after_ms: 800 } });
    await world.pass(790);
    expect(world.count("websocket")).toBe(1);
    await world.pass(50);
    expect(world.count("websocket")).toBe(2);
    expect(states).toEqual(["connecting", "live"]);
    expect([...world.server.sessions]).toHaveLength(1);
    expect([...world.server.sessions][0]).not.toBe(old);
  });
});

describe("close codes", () => {
  const closeWith = async (
    code: number,
    reason: string,
    ms = 200,
  ): Promise<{ codes: unknown[]; opened: number; state: ConnectionState }> => {
    world.server.start("t");
    const codes: unknown[] = [];
    const task = world.client({ transports: ["websocket"] }).task("t", { onError: ({ code }) => codes.push(code) });
    task.subscribe(() => {});
    await world.pass(6000);
    world.server.closeAll(code, reason);
    await world.pass(ms);
    return { codes, opened: world.count("websocket"), state: task.connection };
  };

  it.each([
    [4400, "INVALID_QUERY"],
    [4403, "DISCONNECTED"],
    [4403, "FORBIDDEN"],
    [4404, "TASK_NOT_FOUND"],
    [4409, "PAYLOAD_TOO_LARGE"],
  ])("%i %s is final", async (code, reason) => {
    expect(await closeWith(code, reason, 60_000)).toEqual({ codes: [reason], opened: 1, state: "ended" });
  });

  it.each([
    [1000, ""],
    [1001, ""],
    [1006, ""],
    [1011, "INTERNAL"],
    [4001, "DRAINING"],
    [4008, "TOO_SLOW"],
    [4012, "HEARTBEAT_LOST"],
    [4014, "TRANSPORT_DOWN"],
    [4029, "RATE_LIMITED"],
  ])("after %i %s it comes back", async (code, reason) => {
    expect(await closeWith(code, reason, 700)).toEqual({ codes: [], opened: 2, state: "live" });
  });

  it("after 4013 it comes back at once, with another token", async () => {
    let tokens = 0;
    world.server.start("t");
    const task = world.client({ getToken: () => `token-${++tokens}` }).task("t");
    task.subscribe(() => {});
    await world.pass(6000);
    world.server.closeAll(4013, "CREDENTIAL_EXPIRED");
    await world.pass(10);
    expect(world.opened.map(({ token }) => token)).toEqual(["token-1", "token-2"]);
    expect(task.connection).toBe("live");
  });

  it("4401 is final when another token is refused too", async () => {
    let tokens = 0;
    world.server.start("t");
    world.judge = () => ({ code: 4401, reason: "UNAUTHENTICATED" });
    const onError = vi.fn();
    world
      .client({ getToken: async () => `token-${++tokens}` })
      .task("t", { onError })
      .subscribe(() => {});
    await world.pass(60_000);
    expect(world.opened.map(({ token }) => token)).toEqual(["token-1", "token-2"]);
    expect(onError.mock.calls.map(([{ code }]) => code as string)).toEqual(["UNAUTHENTICATED"]);
  });

  it("4401 is none when the next token counts", async () => {
    let tokens = 0;
    world.server.start("t");
    world.judge = (token) => (token === "token-2" ? null : { code: 4401, reason: "UNAUTHENTICATED" });
    const task = world.client({ getToken: () => `token-${++tokens}` }).task("t");
    task.subscribe(() => {});
    await world.pass(100);
    expect(task.connection).toBe("live");
  });

  it("a topic that is refused for want of credentials is asked for once more, with others", async () => {
    let tokens = 0;
    world.server.start("t");
    world.server.refusals.set("t", { code: "UNAUTHENTICATED", message: "", is_retryable: false });
    const onError = vi.fn();
    const client = world.client({ getToken: () => `token-${++tokens}` });
    client.task("t", { onError }).subscribe(() => {});
    await world.pass(10);
    expect(onError).not.toHaveBeenCalled();
    await world.pass(5000);
    expect(onError).toHaveBeenCalledTimes(1);
    expect(subscribes()).toHaveLength(2);
    expect(world.commands.map(({ type, token }) => token ?? type).slice(0, 3)).toEqual([
      "subscribe",
      "token-2",
      "subscribe",
    ]);
  });

  it("a topic that is refused beside others is asked for with other credentials on the same connection", async () => {
    let tokens = 0;
    world.server.start("t");
    world.server.start("u");
    world.server.refusals.set("t", { code: "UNAUTHENTICATED", message: "", is_retryable: false });
    const client = world.client({ getToken: () => `token-${++tokens}` });
    client.tasks(["t", "u"]).subscribe(() => {});
    await world.pass(10);
    expect(world.commands.at(-1)).toEqual({ type: "auth", token: "token-2" });
    world.server.refusals.clear();
    await world.pass(5000);
    expect(client.task("t").connection).toBe("live");
    expect(world.count("websocket")).toBe(1);
  });

  it("a token that cannot be had is asked for again", async () => {
    let asked = 0;
    world.server.start("t");
    const getToken = (): string => {
      if (++asked < 3) throw new Error("offline");
      return "token";
    };
    const task = world.client({ transports: ["websocket"], getToken }).task("t");
    task.subscribe(() => {});
    await world.pass(3000);
    expect(task.connection).toBe("live");
  });

  it("a token that a subprotocol cannot be is the first message", async () => {
    world.server.start("t");
    world
      .client({ getToken: () => "a/b=c" })
      .task("t")
      .subscribe(() => {});
    await world.pass();
    expect(world.opened[0]!.token).toBeNull();
    expect(world.commands[0]).toEqual({ type: "auth", token: "a/b=c" });
  });
});

describe("the ladder", () => {
  const until = async (client: { transport: unknown }, transport: string, ms = 120_000): Promise<void> => {
    for (let passed = 0; passed < ms && client.transport !== transport; passed += 500) await world.pass(500);
    expect(client.transport).toBe(transport);
  };

  it("leads down to what gets through, and back up when the better does again", async () => {
    world.server.start("t");
    for (const name of ["websocket", "fetch-sse", "event-source"] as const) world.blocked.set(name, "closed");
    const client = world.client();
    const task = client.task("t");
    task.subscribe(() => {});
    await until(client, "poll");
    expect(task.connection).toBe("polling");
    world.server.progress("t", 33);
    await world.pass(200);
    expect(task.snapshot?.progress).toBe(33);
    world.blocked.delete("fetch-sse");
    world.server.heartbeat = 1e9;
    world.blocked.delete("websocket");
    await until(client, "websocket");
    world.server.progress("t", 44);
    await world.pass(200);
    expect(task.view).toMatchObject({ connection: "live", snapshot: { progress: 44 } });
    expect(world.server.sessions.size).toBe(1);
  });

  it("has no rung where a browser has none of what was asked for, which is an error", async () => {
    vi.stubGlobal("EventSource", undefined);
    Reflect.deleteProperty(globalThis, "EventSource");
    const onError = vi.fn();
    world
      .client({ transports: ["event-source"] })
      .task("t", { onError })
      .subscribe(() => {});
    await world.pass();
    expect(onError.mock.calls.map(([{ code }]) => code as string)).toEqual(["NO_TRANSPORT"]);
  });

  it("a socket that opens and says nothing is passed over as well", async () => {
    world.server.start("t");
    world.blocked.set("websocket", "silent");
    const client = world.client();
    client.task("t").subscribe(() => {});
    await until(client, "fetch-sse");
  });

  it("an answer of somebody in between is no answer of the server", async () => {
    world.server.start("t");
    world.blocked.set("websocket", "closed");
    world.blocked.set("fetch-sse", 403);
    const client = world.client();
    const onError = vi.fn();
    client.task("t", { onError }).subscribe(() => {});
    await until(client, "event-source");
    expect(onError).not.toHaveBeenCalled();
  });

  it("a channel cannot be polled, and says so until it can be watched", async () => {
    world.server.start("t");
    for (const name of ["websocket", "fetch-sse", "event-source"] as const) world.blocked.set(name, "closed");
    const client = world.client();
    client.task("t").subscribe(() => {});
    const channel = client.channel("jobs");
    channel.subscribe(() => {});
    await until(client, "poll");
    await world.pass(100);
    expect(channel.view.error).toMatchObject({ code: "NOT_POLLED" });
    world.blocked.clear();
    await until(client, "websocket");
    await world.pass(200);
    expect(channel.view).toMatchObject({ connection: "live", error: null });
  });

  it("an event source watches each task by a grant of its own, and few enough of them", async () => {
    world.server.start("a");
    world.server.start("b");
    const client = world.client({ transports: ["event-source", "poll"], getGrant: (id) => `grant-${id}` });
    client.tasks(["a", "b"]).subscribe(() => {});
    await world.pass(100);
    expect(world.opened.map(({ url, token }) => [new URL(url).pathname, token])).toEqual([
      ["/sse/progress/a", "grant-a"],
      ["/sse/progress/b", "grant-b"],
    ]);
    const many = ["c", "d", "e"];
    for (const id of many) world.server.start(id);
    client.tasks(many).subscribe(() => {});
    await until(client, "poll");
  });

  it("a proxy that holds frames back is got round", async () => {
    world.server.start("t");
    world.blocked.set("websocket", "closed");
    world.blocked.set("event-source", "closed");
    const client = world.client();
    const task = client.task("t");
    task.subscribe(() => {});
    await until(client, "fetch-sse");
    const [session] = world.server.sessions;
    const held: object[] = [];
    const { send } = session!.pipe;
    session!.pipe.send = (frame) => void held.push(frame);
    for (let burst = 0; burst < 2; burst++) {
      for (let n = 0; n < 5; n++) {
        world.server.publish("t", "part", {}, `${n}`);
        await world.pass(1000);
      }
      for (const frame of held.splice(0)) send.call(session!.pipe, frame as never);
      await world.pass(300);
    }
    await until(client, "poll");
    world.server.progress("t", 77);
    await world.pass(300);
    expect(task.snapshot?.progress).toBe(77);
  });

  it("whichever transport it is, no event is lost or told twice on the way down and up", async () => {
    world.server.start("t");
    const client = world.client();
    const seqs: number[] = [];
    const task = client.task("t", { onEvent: ({ seq }) => seqs.push(seq) });
    task.subscribe(() => {});
    let n = 0;
    const publish = async (): Promise<void> => {
      for (let times = 0; times < 5; times++) {
        world.server.publish("t", "part", { n: ++n });
        await world.pass(300);
      }
    };
    await publish();
    for (const [name, next] of [
      ["websocket", "fetch-sse"],
      ["fetch-sse", "event-source"],
      ["event-source", "poll"],
    ] as const) {
      world.blocked.set(name, "closed");
      world.server.closeAll();
      await publish();
      await until(client, next);
      await publish();
    }
    world.blocked.clear();
    await until(client, "websocket");
    await publish();
    expect(seqs).toEqual(Array.from({ length: n + 1 }, (_, index) => index + 1));
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
