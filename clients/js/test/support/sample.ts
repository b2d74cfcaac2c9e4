import type { Snapshot, Stage } from "../../src/types.js";
import type { FakeTask } from "./fake-client.js";

/** Tasks as a page may have them, for tests and pictures. */

const stage = (path: string, label: string, state: string, progress: number, some: Partial<Stage> = {}): Stage => ({
  path,
  label,
  weight: 1,
  state,
  progress,
  ...some,
});

export function running(task: FakeTask): void {
  task.update({
    name: "Talking video",
    kind: "video",
    labels: { user: "7", tier: "gold" },
    progress: 47.3,
    stage: "render",
    message: "Rendering tile 3 of 4",
    eta_ms: 95_000,
    elapsed_ms: 72_000,
    metadata: { detected_persons: 2, confidence: 0.95 },
    stages: [
      stage("detect", "Detect persons", "completed", 100, { current: 2, total: 2, unit: "persons" }),
      stage("matte", "Remove background", "completed", 100, { current: 120, total: 120, unit: "frames" }),
      stage("render", "Render", "running", 42, { message: "Rendering tile 3 of 4", eta_ms: 60_000 }),
      stage("render/tile-2", "Tile 2", "completed", 100),
      stage("render/tile-3", "Tile 3", "running", 68, { current: 81, total: 120, unit: "frames" }),
      stage("upload", "Upload", "pending", 0),
    ],
  });
  for (const [message, level] of [
    ["2 persons found", "INFO"],
    ["person 0 chosen, confidence 0.95", "INFO"],
    ["the render service answers slowly", "WARN"],
    ["tile 2 done in 14.2 s", "INFO"],
  ] as const) {
    task.log(message, level);
  }
}

export function failed(task: FakeTask): void {
  running(task);
  const before = task.snapshot as Snapshot;
  task.log("the render service is busy", "ERROR");
  task.update({
    state: "failed",
    eta_ms: null,
    stages: before.stages.map((each) => (each.state === "running" ? { ...each, state: "failed" } : each)),
    error: {
      code: "DID_API_ERROR",
      message: "The render service is busy.",
      retry_count: 3,
      max_retries: 3,
      trace_id: "4bf92f3577b34da6",
      solutions: ["Try again in a minute.", "Choose a smaller picture: under 1 024 pixels a side it takes a tenth of the time."],
    },
  });
}

export function completed(task: FakeTask): void {
  running(task);
  const before = task.snapshot as Snapshot;
  task.update({
    state: "completed",
    progress: 100,
    eta_ms: null,
    elapsed_ms: 151_000,
    message: "The video is ready",
    result: { video_url: "/videos/42.mp4" },
    stages: before.stages.map((each) => ({ ...each, state: "completed", progress: 100, current: each.total ?? null })),
  });
}
