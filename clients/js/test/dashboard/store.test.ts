import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hasEnded } from "../../src/dashboard/row.js";
import { TaskStore } from "../../src/dashboard/store.js";
import type { ProgressEvent, Snapshot, TaskState } from "../../src/types.js";
import { snapshotOf } from "../support/fake-client.js";

const at = (seconds: number) => new Date(Date.UTC(2026, 10, 22, 16, 0, seconds)).toISOString();

function event(task_id: string, seq: number, event_type: string, data: unknown = {}, epoch = "1"): ProgressEvent {
  return { task_id, epoch, seq, event_type, timestamp: at(seq), data };
}

function snapshot(task_id: string, seq: number, some: Partial<Snapshot> = {}): Snapshot {
  return snapshotOf(task_id, { epoch: "1", seq, updated_at: at(seq), ...some });
}

const LIMITS = { ended: 2, endedMs: 1_000, rows: 1_000 };

describe("a task store", () => {
  it("folds events into what the list shows", () => {
    const store = new TaskStore();
    store.event(event("a", 1, "queued", { about: { name: "Video", kind: "video", labels: { user: "7" } } }), 0);
    expect(store.get("a")).toMatchObject({ name: "Video", kind: "video", labels: { user: "7" }, state: "queued", partial: false });
    store.event(event("a", 2, "started", { name: "Video", kind: "video", labels: { user: "7" } }), 0);
    store.event(event("a", 3, "stage_change", { current_stage: "render", progress: 10 }), 0);
    store.event(event("a", 4, "progress_update", { progress: 42, message: "half", eta_ms: 1_000 }), 0);
    expect(store.get("a")).toMatchObject({ state: "running", stage: "render", progress: 42, message: "half", etaMs: 1_000 });
    store.event(event("a", 5, "stalled"), 0);
    expect(store.get("a")).toMatchObject({ state: "stalled", etaMs: null });
    store.event(event("a", 6, "complete", { status: "failed", progress: 42, error: { message: "it broke" } }), 0);
    expect(store.get("a")).toMatchObject({ state: "failed", progress: 42, message: "it broke" });
  });

  it("does not undo an event by a list that is older", () => {
    const store = new TaskStore();
    store.beginList();
    store.event(event("a", 5, "progress_update", { progress: 50 }), 0);
    store.page([snapshot("a", 3, { progress: 30, name: "Video" })], 0);
    expect(store.endList()).toEqual([]);
    expect(store.get("a")).toMatchObject({ progress: 50, name: "Video", partial: false });
  });

  it("does not undo a list by an event that is older", () => {
    const store = new TaskStore();
    store.page([snapshot("a", 9, { progress: 90 })], 0);
    store.event(event("a", 5, "progress_update", { progress: 50 }), 0);
    expect(store.get("a")).toMatchObject({ progress: 90, seq: 9 });
  });

  it("does not bring back a task that ended while the list was on its way", () => {
    const store = new TaskStore();
    store.page([snapshot("a", 1)], 0);
    store.beginList();
    store.event(event("a", 2, "complete", { status: "completed", progress: 100 }), 0);
    store.sweep(1_000_000, { ...LIMITS, ended: 0 }, null);
    store.page([snapshot("a", 1)], 0);
    store.endList();
    expect(store.get("a")?.state).toBe("completed");
  });

  it("says which tasks a complete list no longer has, but not those that began meanwhile", () => {
    const store = new TaskStore();
    store.page([snapshot("gone", 1), snapshot("there", 1)], 0);
    store.beginList();
    store.page([snapshot("there", 1)], 0);
    store.event(event("new", 1, "started", {}), 0);
    expect(store.endList()).toEqual(["gone"]);
  });

  it("says nothing of a list that broke off", () => {
    const store = new TaskStore();
    store.page([snapshot("a", 1)], 0);
    store.beginList();
    store.dropList();
    expect(store.get("a")?.state).toBe("running");
  });

  it("asks who it is that an event tells of, and keeps what came after", () => {
    const store = new TaskStore();
    expect(store.event(event("a", 7, "progress_update", { progress: 70 }), 0)).toMatchObject({ id: "a", partial: true });
    expect(store.event(event("a", 8, "progress_update", { progress: 80 }), 0)).toBeNull();
    store.snapshot(snapshot("a", 7, { name: "Video", progress: 70 }), 0);
    expect(store.get("a")).toMatchObject({ name: "Video", progress: 80, partial: false });
  });

  it("takes a task that runs again for what it is now, and no event of the run before", () => {
    const store = new TaskStore();
    store.event(event("a", 9, "complete", { status: "failed" }), 0);
    store.event({ ...event("a", 1, "started", { name: "Again" }, "2"), timestamp: at(10) }, 0);
    store.event(event("a", 8, "progress_update", { progress: 80 }), 0);
    expect(store.get("a")).toMatchObject({ epoch: "2", state: "running", progress: 0, name: "Again" });
  });

  it("forgets the oldest ended tasks, never the one that is looked at", () => {
    const store = new TaskStore();
    for (const [index, id] of ["a", "b", "c", "d"].entries()) store.event(event(id, 1, "complete", { status: "completed" }), index);
    store.sweep(10, LIMITS, "a");
    expect([...store.rows()].map(({ id }) => id)).toEqual(["a", "d"]);
    store.sweep(2_000, LIMITS, null);
    expect(store.size).toBe(0);
  });

  it("knows the server's active tasks in the end, whatever overtakes what", () => {
    const steps = fc.array(
      fc.record({ task: fc.integer({ min: 0, max: 5 }), end: fc.boolean(), list: fc.integer({ min: 0, max: 9 }), late: fc.nat(12) }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (script) => {
        const store = new TaskStore();
        const server = new Map<string, Snapshot>();
        let seconds = 0;
        let list: { pages: Snapshot[]; due: number } | null = null;
        const asked: string[] = [];
        for (const [index, step] of script.entries()) {
          if (list !== null && index >= list.due) {
            store.page(list.pages, index);
            asked.push(...store.endList());
            list = null;
          }
          if (step.list === 0 && list === null) {
            store.beginList();
            list = { pages: [...server.values()].filter(({ state }) => state === "running"), due: index + step.late };
          }
          seconds += 1;
          const id = `task-${step.task}`;
          const before = server.get(id);
          const again = before === undefined || before.state !== "running";
          const epoch = again ? String(seconds) : before.epoch;
          const seq = again ? 1 : before.seq + 1;
          const state: TaskState = !again && step.end ? "completed" : "running";
          const type = again ? "started" : state === "completed" ? "complete" : "progress_update";
          const data = again ? { name: id } : state === "completed" ? { status: state } : { progress: seq };
          server.set(id, snapshotOf(id, { name: id, epoch, seq, state, updated_at: at(seconds) }));
          store.event({ task_id: id, epoch, seq, event_type: type, timestamp: at(seconds), data }, index);
        }
        if (list !== null) {
          store.page(list.pages, 1_000);
          asked.push(...store.endList());
        }
        for (const id of asked) store.snapshot(server.get(id)!, 1_000);
        const active = (all: Iterable<{ id: string; state: TaskState; seq: number }>) =>
          [...all].filter(({ state }) => state === "running").map(({ id, seq }) => `${id} ${seq}`).sort();
        expect(active(store.rows())).toEqual(active([...server.values()].map((each) => ({ ...each, id: each.task_id }))));
        expect([...store.rows()].filter(hasEnded).length).toBe([...server.values()].filter(({ state }) => state !== "running").length);
      }),
    );
  });
});
