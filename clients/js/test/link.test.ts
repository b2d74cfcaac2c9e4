import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { World } from "./support/world.js";
import type { ConnectionState } from "../src/types.js";

let world: World;
beforeEach(() => {
  world = new World();
  world.install();
});
afterEach(() => world.uninstall());

const subscribes = (): unknown[] =>
  world.commands.filter(({ type }) => type === "subscribe").flatMap(({ topics }) => topics);

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

  it("is tried again after up to half a second, doubled up to thirty, for ever, if nothing else was asked for", async () => {
    const tries: number[] = [];
    const getToken = (): null => {
      tries.push(Date.now());
      return null;
    };
    const waits = async (luck: number): Promise<number[]> => {
      world.luck = luck;
      tries.length = 0;
      const tab = world.tab();
      const client = tab.client({ share: false, transports: ["websocket"], getToken });
      tab.run(() => client.task("t").subscribe(() => {}));
      await world.pass(3_600_000);
      expect(client.task("t").connection).toBe("connecting");
      client.close();
      // Without the way there and back, and a millisecond that timers round.
      return tries.slice(1).map((at, index) => Math.round((at - tries[index]! - 1) / 25) * 25);
    };
    world.blocked.set("websocket", "closed");
    const longest = await waits(0.999_999);
    expect(longest.slice(0, 9)).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    expect(longest.slice(9).every((wait) => wait === 30_000)).toBe(true);
    expect(longest.length).toBeGreaterThan(115);
    expect((await waits(0.25)).slice(0, 8)).toEqual([125, 250, 500, 1000, 2000, 4000, 7500, 7500]);
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

  it.each(["websocket", "fetch-sse", "poll"] as const)("a token is asked for before each attempt, by %s", async (transport) => {
    let tokens = 0;
    const used: (string | null)[] = [];
    world.server.start("t");
    world.judge = (token) => {
      used.push(token);
      return null;
    };
    world.blocked.set(transport, "closed");
    const task = world.client({ transports: [transport], getToken: () => `token-${++tokens}` }).task("t");
    task.subscribe(() => {});
    await world.pass(20_000);
    const failed = [...world.opened, ...world.requests].map(({ token }) => token);
    expect(failed.length).toBeGreaterThan(5);
    expect(failed).toEqual(failed.map((_, at) => `token-${at + 1}`));
    world.blocked.clear();
    await world.pass(31_000);
    expect(used[0]).toBe(`token-${failed.length + 1}`);
    const asked = tokens;
    void task.cancel();
    await world.pass();
    expect(tokens).toBe(asked + 1);
    expect(world.requests.at(-1)!.token).toBe(`token-${tokens}`);
  });

  it("a grant is asked for before each attempt as well", async () => {
    let grants = 0;
    world.server.start("t");
    world.blocked.set("event-source", "closed");
    const task = world.client({ transports: ["event-source"], getGrant: (id) => `${id}-${++grants}` }).task("t");
    task.subscribe(() => {});
    await world.pass(20_000);
    world.blocked.clear();
    await world.pass(31_000);
    expect(task.connection).toBe("live");
    const used = world.opened.map(({ token }) => token);
    expect(used.length).toBeGreaterThan(5);
    expect(used).toEqual(used.map((_, at) => `t-${at + 1}`));
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
