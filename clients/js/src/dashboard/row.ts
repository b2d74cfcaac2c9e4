import { isActive } from "../element/outcome.js";
import type { ProgressEvent, Snapshot, TaskState } from "../types.js";

/** What the list shows of a task. A new object with every change. */
export interface Row {
  readonly id: string;
  readonly epoch: string;
  /** The newest event that it knows of; events up to here change nothing. */
  readonly seq: number;
  readonly name: string | null;
  readonly kind: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: TaskState;
  readonly progress: number;
  readonly message: string | null;
  readonly stage: string | null;
  readonly etaMs: number | null;
  /** When it began, or was queued, in ms since 1970. */
  readonly startedAt: number;
  /** When its newest event happened, by the server. */
  readonly updatedAt: number;
  /** Whether only events are known of it: its name and labels are still to be asked for. */
  readonly partial: boolean;
}

export function rowOf(snapshot: Snapshot): Row {
  const updatedAt = Date.parse(snapshot.updated_at);
  return {
    id: snapshot.task_id,
    epoch: snapshot.epoch,
    seq: snapshot.seq,
    name: snapshot.name,
    kind: snapshot.kind,
    labels: snapshot.labels,
    state: snapshot.state,
    progress: snapshot.progress,
    message: snapshot.error?.message ?? snapshot.message,
    stage: snapshot.stage,
    etaMs: snapshot.eta_ms,
    startedAt: snapshot.started_at === null ? updatedAt : Date.parse(snapshot.started_at),
    updatedAt,
    partial: false,
  };
}

/** What is known of a task by one of its events alone. */
export function rowOfEvent(event: ProgressEvent): Row {
  const at = Date.parse(event.timestamp);
  const blank: Row = {
    id: event.task_id,
    epoch: event.epoch,
    seq: 0,
    name: null,
    kind: null,
    labels: {},
    state: "running",
    progress: 0,
    message: null,
    stage: null,
    etaMs: null,
    startedAt: at,
    updatedAt: at,
    partial: true,
  };
  return fold(blank, event);
}

/** The row after the event, which is newer than it. */
export function fold(row: Row, event: ProgressEvent): Row {
  const at = Date.parse(event.timestamp);
  const next = { ...row, seq: event.seq, updatedAt: at };
  const data = (event.data ?? {}) as Record<string, unknown>;
  switch (event.event_type) {
    case "queued":
      return { ...next, ...about(data.about), state: "queued", startedAt: at };
    case "started":
      return { ...next, ...about(data), state: "running", startedAt: at };
    case "stage_change":
      return { ...next, stage: text(data.current_stage), progress: percent(data.progress, row.progress) };
    case "progress_update":
      return {
        ...next,
        progress: percent(data.progress, row.progress),
        message: text(data.message) ?? row.message,
        etaMs: typeof data.eta_ms === "number" ? data.eta_ms : null,
      };
    case "paused":
      return { ...next, state: "paused", etaMs: null };
    case "stalled":
      return { ...next, state: "stalled", etaMs: null };
    case "resumed":
    case "recovered":
      return { ...next, state: "running" };
    case "complete": {
      const error = data.error as { message?: unknown } | undefined;
      return {
        ...next,
        state: data.status as TaskState,
        progress: percent(data.progress, row.progress),
        message: text(error?.message) ?? row.message,
        etaMs: null,
      };
    }
    default:
      return next;
  }
}

export function hasEnded(row: Row): boolean {
  return !isActive(row.state);
}

/** Whether the position is newer than the row: later in the same log, or of a later log. */
export function isNewer(row: Row, epoch: string, seq: number, timestamp: string): boolean {
  // Epochs are opaque; of two logs of a task the later one has the later events.
  return epoch === row.epoch ? seq > row.seq : Date.parse(timestamp) > row.updatedAt;
}

function about(data: unknown): Partial<Row> {
  if (typeof data !== "object" || data === null) return {};
  const { name, kind, labels } = data as { name?: unknown; kind?: unknown; labels?: Record<string, string> };
  return { name: text(name), kind: text(kind), labels: labels ?? {}, partial: false };
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function percent(value: unknown, before: number): number {
  return typeof value === "number" ? value : before;
}
