/**
 * The present of a task, folded from its events: what the server does with the same events.
 *
 * A pure function: nothing that it is given is changed, and what an event leaves as it was is the same
 * object afterwards.
 */

import type { ProgressEvent, Snapshot, Stage, TaskState } from "./types.js";

/** What a snapshot does not show, and events after it are read by. */
interface Hidden {
  /** Ms of the task when a stage, or the first below it, began; by path. */
  readonly begun: ReadonlyMap<string, number>;
  /** Paths of stages whose children were declared, so that others below them weigh nothing; "" is the task. */
  readonly declared: ReadonlySet<string>;
}

/** A snapshot, and what else is needed to go on from it. */
export interface Folded extends Hidden {
  readonly snapshot: Snapshot;
}

const ACTIVE = /^(queued|running|paused|stalled)$/;

/** Whether a task in this state has ended. */
export const hasEnded = (state: TaskState): boolean => !ACTIVE.test(state);

/** Begins with a snapshot. What `known` was learned of the same run counts on. */
export const unfold = (snapshot: Snapshot, known?: Folded): Folded => ({
  snapshot,
  begun: known?.begun ?? new Map(),
  declared: known?.declared ?? new Set(),
});

/**
 * Takes account of an event. One at or before the snapshot changes no state; what can be learned from it about
 * later ones is.
 */
export function fold(folded: Folded, event: ProgressEvent): Folded {
  const next = new Fold(folded, event.seq <= folded.snapshot.seq);
  next.apply(event);
  return next;
}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));

interface StageInfo {
  readonly path: string;
  readonly label: string;
  readonly weight: number;
  readonly total?: number;
  readonly unit?: string;
}

/** One event's work: private to {@link fold}, and frozen by nobody changing it later. */
class Fold implements Folded {
  snapshot: Snapshot;
  begun: ReadonlyMap<string, number>;
  declared: ReadonlySet<string>;
  readonly #past: boolean;

  constructor({ snapshot, begun, declared }: Folded, past: boolean) {
    this.snapshot = snapshot;
    this.begun = begun;
    this.declared = declared;
    this.#past = past;
  }

  apply({ epoch, seq, timestamp, event_type, key, data }: ProgressEvent): void {
    this.#set({ epoch, seq, updated_at: timestamp });
    switch (event_type) {
      case "queued":
        this.#set({ state: "queued" });
        if (data.about) this.#describe(data.about);
        break;
      case "started":
        this.#set({ state: "running", started_at: data.started_at });
        this.#describe(data);
        break;
      case "stage_change":
        this.#set({ stage: data.current_stage, progress: data.progress });
        this.#begin(data.current_stage, data.elapsed_ms);
        break;
      case "progress_update":
        this.#update(data);
        break;
      case "error":
        this.#set({ last_error: data });
        break;
      case "paused":
      case "stalled":
        this.#set({ state: event_type });
        break;
      case "resumed":
      case "recovered":
        this.#set({ state: "running" });
        break;
      case "cancel_requested":
        this.#set({ cancel_requested: true });
        break;
      case "complete":
        this.#end(data);
        break;
      default:
        if (key !== undefined) this.#set({ custom: { ...this.snapshot.custom, [key]: data } });
    }
  }

  #set(changes: Partial<Snapshot>): void {
    if (!this.#past) this.snapshot = { ...this.snapshot, ...changes };
  }

  #setStage(path: string, change: (stage: Stage) => Stage): void {
    this.#set({ stages: this.snapshot.stages.map((stage) => (stage.path === path ? change(stage) : stage)) });
  }

  #describe(about: ProgressEvent["data"]): void {
    const stages: readonly StageInfo[] = about.stages ?? [];
    this.#set({
      name: about.name ?? null,
      kind: about.kind ?? null,
      labels: about.labels ?? {},
      attempt: about.attempt ?? 1,
      ...(about.parent ? { parent: about.parent } : {}),
    });
    this.declared = new Set(stages.map(({ path }) => parentOf(path)));
    for (const { path, label, weight, total, unit } of stages) {
      this.#stage(path);
      this.#setStage(path, (known) => ({
        ...known,
        label,
        weight,
        total: total ?? known.total ?? null,
        unit: unit ?? known.unit ?? null,
      }));
    }
  }

  /** Makes a stage at its first mention, and those above it. */
  #stage(path: string): void {
    if (this.#past || this.snapshot.stages.some((stage) => stage.path === path)) return;
    const parent = parentOf(path);
    if (parent) this.#stage(parent);
    const stage: Stage = {
      path,
      label: path.slice(path.lastIndexOf("/") + 1),
      weight: this.declared.has(parent) ? 0 : 1,
      state: "pending",
      progress: 0,
      current: null,
      total: null,
      unit: null,
      elapsed_ms: 0,
    };
    this.#set({ stages: [...this.snapshot.stages, stage] });
  }

  /** A stage runs from its first sign of life on, and those above it from the first below them. */
  #begin(path: string, elapsed_ms: number): void {
    this.#stage(path);
    for (let at = path; at && !this.begun.has(at); at = parentOf(at)) {
      // Of one that began before all that is known, its own time says when.
      const known = this.snapshot.stages.find((stage) => stage.path === at);
      const ran = this.#past || known?.state === "pending" ? 0 : (known?.elapsed_ms ?? 0);
      this.begun = new Map(this.begun).set(at, Math.max(0, elapsed_ms - ran));
      this.#setStage(at, (stage) => (stage.state === "pending" ? { ...stage, state: "running" } : stage));
    }
  }

  #update(data: ProgressEvent["data"]): void {
    const { stage, progress, elapsed_ms, eta_ms, message, children, metadata, stage_eta_ms } = data;
    this.#set({
      progress,
      elapsed_ms,
      eta_ms: eta_ms ?? null,
      ...(message != null ? { message } : {}),
      ...(children ? { children } : {}),
      ...(metadata ? { metadata: { ...this.snapshot.metadata, ...metadata } } : {}),
    });
    if (stage == null) return;
    this.#begin(stage, elapsed_ms);
    this.#setStage(stage, ({ path, label, weight, progress: before }) => {
      const percent = data.stage_progress ?? before;
      // What is not said is not known any more: no other field stays.
      return {
        path,
        label,
        weight,
        state: percent >= 100 ? "completed" : "running",
        progress: percent,
        current: data.current ?? null,
        total: data.total ?? null,
        unit: data.unit ?? null,
        message,
        metadata,
        eta_ms: stage_eta_ms,
        elapsed_ms: Math.max(0, elapsed_ms - (this.begun.get(stage) ?? elapsed_ms)),
      };
    });
  }

  #end({ status, progress, result, error, cause, duration_ms }: ProgressEvent["data"]): void {
    this.#set({
      state: status,
      progress,
      result,
      error,
      cause,
      eta_ms: null,
      elapsed_ms: duration_ms,
      stages: this.snapshot.stages.map((stage) => ({
        ...stage,
        eta_ms: null,
        ...(stage.state === "running"
          ? { state: status, elapsed_ms: Math.max(0, duration_ms - (this.begun.get(stage.path) ?? duration_ms)) }
          : {}),
      })),
    });
  }
}
