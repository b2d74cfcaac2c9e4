import { describe, expect, it } from "vitest";
import { fold, unfold, type Folded } from "../src/fold.js";
import type { ProgressEvent, Snapshot } from "../src/types.js";

const T = "2026-01-01T00:00:00.000Z";

const snapshot = (changes: Partial<Snapshot> = {}): Snapshot => ({
  task_id: "t",
  epoch: "e",
  seq: 0,
  name: null,
  kind: null,
  labels: {},
  state: "queued",
  progress: 0,
  stage: null,
  message: null,
  metadata: {},
  eta_ms: null,
  elapsed_ms: 0,
  started_at: null,
  updated_at: T,
  attempt: 1,
  stages: [],
  custom: {},
  dropped_logs: 0,
  ...changes,
});

const event = (seq: number, event_type: string, data: unknown = {}, key?: string): ProgressEvent => ({
  task_id: "t",
  epoch: "e",
  seq,
  event_type,
  timestamp: T,
  data,
  ...(key === undefined ? {} : { key }),
});

const apply = (events: readonly ProgressEvent[], from: Folded = unfold(snapshot())): Folded =>
  events.reduce(fold, from);

const started = (...paths: readonly string[]): ProgressEvent =>
  event(1, "started", {
    name: "n",
    kind: "k",
    labels: { a: "b" },
    attempt: 1,
    started_at: T,
    stages: paths.map((path) => ({ path, label: path, weight: 2 })),
  });

const stages = ({ snapshot }: Folded): object =>
  Object.fromEntries(snapshot.stages.map(({ path, state, weight, elapsed_ms }) => [path, [state, weight, elapsed_ms]]));

const update = (seq: number, stage: string, percent: number, elapsed_ms: number): ProgressEvent =>
  event(seq, "progress_update", { stage, progress: percent, stage_progress: percent, elapsed_ms });

describe("a snapshot", () => {
  it("is never changed, and what an event leaves alone stays the same object", () => {
    const before = Object.freeze(snapshot({ custom: Object.freeze({ a: 1 }) }));
    const { snapshot: after } = apply([started("x", "y"), update(2, "x", 10, 5)], unfold(before));
    expect(before.stages).toEqual([]);
    const { snapshot: later } = apply([update(3, "y", 10, 6)], unfold(after));
    expect(later.custom).toBe(before.custom);
    expect(later.labels).toBe(after.labels);
    expect(later.stages[0]).toBe(after.stages[0]);
  });

  it("takes history for what it is: it changes no state", () => {
    const present = snapshot({ seq: 9, progress: 50, state: "running" });
    const { snapshot: after } = apply(
      [started("x"), update(2, "x", 10, 5), event(3, "part", { url: 1 }, "p")],
      unfold(present),
    );
    expect(after).toBe(present);
  });

  it("learns from history when stages began, for those that go on", () => {
    const stage = {
      path: "x",
      label: "x",
      weight: 1,
      state: "running",
      progress: 10,
      current: null,
      total: null,
      unit: null,
      elapsed_ms: 5,
    };
    const present = unfold(snapshot({ seq: 9, state: "running", stages: [stage] }));
    const began = event(2, "stage_change", { current_stage: "x", progress: 0, elapsed_ms: 100 });
    expect(stages(apply([began, update(10, "x", 20, 400)], present))).toEqual({ x: ["running", 1, 300] });
    // Without it the stage's own time tells, as well as it can.
    expect(stages(apply([update(10, "x", 20, 400), update(11, "x", 20, 500)], present))).toEqual({
      x: ["running", 1, 105],
    });
  });

  it("makes stages at their first mention, and those above them, without weight beside declared ones", () => {
    const folded = apply([started("x"), update(2, "y/z", 10, 50)]);
    expect(stages(folded)).toEqual({ x: ["pending", 2, 0], y: ["running", 0, 0], "y/z": ["running", 1, 0] });
  });

  it("gives a stage that ran the end of its task, and its time", () => {
    const end = event(4, "complete", {
      status: "failed",
      progress: 20,
      duration_ms: 900,
      error: { code: "A", message: "b" },
      cause: "c",
    });
    const folded = apply([started("x", "y"), update(2, "x", 100, 100), update(3, "y", 20, 300), end]);
    expect(stages(folded)).toEqual({ x: ["completed", 2, 0], y: ["failed", 2, 600] });
    expect(folded.snapshot).toMatchObject({
      state: "failed",
      error: { code: "A" },
      cause: "c",
      elapsed_ms: 900,
      eta_ms: null,
    });
  });

  it("keeps what an update does not say of the task, and forgets what it does not say of its stage", () => {
    const full = {
      stage: "x",
      progress: 1,
      elapsed_ms: 1,
      message: "m",
      metadata: { a: 1 },
      current: 1,
      total: 2,
      unit: "u",
      stage_eta_ms: 5,
    };
    const folded = apply([
      started("x"),
      event(2, "progress_update", full),
      event(3, "progress_update", { stage: "x", progress: 2, elapsed_ms: 2, metadata: { b: 2 } }),
    ]);
    expect(folded.snapshot).toMatchObject({ message: "m", metadata: { a: 1, b: 2 }, progress: 2 });
    expect(folded.snapshot.stages[0]).toMatchObject({ current: null, total: null, unit: null, metadata: { b: 2 } });
    expect(folded.snapshot.stages[0]!.message).toBeUndefined();
  });

  it("follows pauses, stalls and what was asked", () => {
    const states = ["paused", "resumed", "stalled", "recovered", "cancel_requested"].map(
      (type) => apply([started(), event(2, type)]).snapshot,
    );
    expect(states.map(({ state }) => state)).toEqual(["paused", "running", "stalled", "running", "running"]);
    expect(states.at(-1)!.cancel_requested).toBe(true);
  });

  it("has no key that reaches its prototype", () => {
    const data = JSON.parse('{"progress":1,"elapsed_ms":1,"metadata":{"__proto__":{"evil":1}}}') as unknown;
    const { snapshot: after } = apply([event(1, "progress_update", data), event(2, "part", { evil: 1 }, "__proto__")]);
    expect(Object.getPrototypeOf(after.metadata)).toBe(Object.prototype);
    expect(Object.getPrototypeOf(after.custom)).toBe(Object.prototype);
    expect(({} as { evil?: number }).evil).toBeUndefined();
  });
});
