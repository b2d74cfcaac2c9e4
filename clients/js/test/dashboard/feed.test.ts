import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Feed } from "../../src/dashboard/feed.js";
import { TaskStore } from "../../src/dashboard/store.js";
import type { Snapshot } from "../../src/types.js";
import { FakeClient, refusal, snapshotOf } from "../support/fake-client.js";

let client: FakeClient;
let store: TaskStore;
let feed: Feed;
let tasks: Snapshot[];

beforeEach(() => {
  vi.useFakeTimers();
  client = new FakeClient();
  store = new TaskStore();
  feed = new Feed(client, store, () => {});
  tasks = [];
  client.answer = (path) => {
    const url = new URL(path, "http://host");
    if (url.pathname === "/tasks") {
      const states = url.searchParams.get("state")!;
      const found = tasks.filter(({ state }) => (states === "active" ? state === "running" : states.split(",").includes(state)));
      const from = Number(url.searchParams.get("cursor") ?? 0);
      const limit = 2;
      return { tasks: found.slice(from, from + limit), ...(found.length > from + limit ? { next: String(from + limit) } : {}) };
    }
    const found = tasks.find(({ task_id }) => path === `/tasks/${task_id}`);
    if (found === undefined) throw refusal("TASK_NOT_FOUND", "there is no such task", 404);
    return found;
  };
});

afterEach(() => {
  feed.stop();
  expect(vi.getTimerCount()).toBe(0);
  expect(client.listeners).toBe(0);
  vi.useRealTimers();
});

const settle = () => vi.advanceTimersByTimeAsync(0);
const ids = () => [...store.rows()].map(({ id, state }) => `${id} ${state}`).sort();
const lists = () => client.requests.filter(({ path }) => path.startsWith("/tasks?state=active") && !path.includes("cursor")).length;

describe("a feed", () => {
  it("lists all pages of active tasks, and lately ended ones", async () => {
    tasks = [..."abcde"].map((id) => snapshotOf(id, { state: id === "e" ? "failed" : "running" }));
    feed.start();
    await settle();
    expect(ids()).toEqual(["a running", "b running", "c running", "d running", "e failed"]);
    expect(feed.state.kind).toBe("ready");
  });

  it("waits for the channel, so that nothing falls between it and the list", async () => {
    client.channel("_tasks").view = { ...client.channel("_tasks").view, connection: "connecting" };
    feed.start();
    await settle();
    expect(lists()).toBe(0);
    client.connect("live");
    await settle();
    expect(lists()).toBe(1);
  });

  it("lists without the channel where that takes too long", async () => {
    client.channel("_tasks").view = { ...client.channel("_tasks").view, connection: "connecting" };
    feed.start();
    await vi.advanceTimersByTimeAsync(1_500);
    expect(lists()).toBe(1);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(lists()).toBe(2);
  });

  it("asks for the name of a task that it only heard an event of", async () => {
    feed.start();
    await settle();
    tasks = [snapshotOf("late", { name: "Late", seq: 4 })];
    client.channel("_tasks").emit({ task_id: "late", epoch: "1a2041bf600", seq: 5, event_type: "progress_update", timestamp: "2026-11-22T16:35:00Z", data: { progress: 9 } });
    await settle();
    expect(store.get("late")).toMatchObject({ name: "Late", progress: 9, partial: false });
  });

  it("lists anew when the connection is back, and asks what became of those that are gone", async () => {
    tasks = [snapshotOf("a"), snapshotOf("b"), snapshotOf("c")];
    feed.start();
    await settle();
    client.connect("stale");
    tasks = [snapshotOf("a"), snapshotOf("b", { state: "completed", seq: 9, progress: 100 })];
    client.connect("live");
    await settle();
    await settle();
    expect(ids()).toEqual(["a running", "b completed"]);
  });

  it("lists anew when the channel has a hole or is another", async () => {
    feed.start();
    await settle();
    const event = { task_id: "a", epoch: "1", seq: 1, event_type: "started", timestamp: "2026-11-22T16:35:00Z", data: {} };
    client.channel("_tasks").emit(event);
    client.channel("_tasks").emit(event);
    await settle();
    expect(lists()).toBe(1);
    client.channel("_tasks").skip();
    client.channel("_tasks").emit(event);
    await settle();
    expect(lists()).toBe(2);
    client.channel("_tasks").emit(event, "2");
    await settle();
    expect(lists()).toBe(3);
  });

  it("asks again and again where the channel is refused", async () => {
    feed.start();
    await settle();
    client.channel("_tasks").set({ connection: "ended", error: refusal("FORBIDDEN", "no", 403) });
    await settle();
    const before = lists();
    await vi.advanceTimersByTimeAsync(10_100);
    expect(lists() - before).toBe(2);
    expect(feed.polls).toBe(true);
  });

  it("stops where listing is refused", async () => {
    client.answer = () => {
      throw refusal("FORBIDDEN", "this is not allowed", 403);
    };
    feed.start();
    await settle();
    expect(feed.state).toMatchObject({ kind: "refused", error: { code: "FORBIDDEN" } });
    await vi.advanceTimersByTimeAsync(600_000);
    expect(lists()).toBe(1);
  });

  it("tries again, ever later, where the list cannot be had", async () => {
    const answer = client.answer;
    client.answer = () => {
      throw new TypeError("no network");
    };
    feed.start();
    await settle();
    expect(feed.state.kind).toBe("failed");
    await vi.advanceTimersByTimeAsync(120_000);
    expect(lists()).toBeGreaterThan(5);
    expect(lists()).toBeLessThan(16);
    client.answer = answer;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(feed.state.kind).toBe("ready");
  });
});
