/** Tasks: their state, folded from what comes, and the handle to watch one. */

import { step } from "./continuity.js";
import { isEvent, type ControlFrame, type Frame } from "./frames.js";
import { fold, hasEnded, unfold, type Folded } from "./fold.js";
import { Topic, type TopicHost } from "./topic.js";
import type { ConnectionState, LogLine, ProgressEvent, Replay, Snapshot, TaskView } from "./types.js";

/** What one tab tells another of a task beside its snapshot. */
interface Recap {
  readonly logs?: readonly LogLine[];
  readonly begun?: readonly (readonly [string, number])[];
  readonly declared?: readonly string[];
}

export class TaskTopic extends Topic<TaskView, ProgressEvent> {
  #folded: Folded | null = null;
  #logs: readonly LogLine[] = [];

  constructor(host: TopicHost, id: string, replay: Replay = "all") {
    super(host, id, false, replay);
  }

  get snapshot(): Snapshot | null {
    return this.#folded?.snapshot ?? null;
  }

  take(frame: Frame): boolean {
    if (!isEvent(frame)) {
      this.#control(frame as ControlFrame);
      return true;
    }
    // Before the verdict: of a watch of it that was let go, on its way still.
    if (!this.#folded) return !this.told;
    const kind = step(this.place, frame.epoch, frame.from ?? frame.seq, frame.seq);
    if (kind !== "take") return kind === "repeat";
    if (frame.event_type === "log") this.#log([{ ...frame.data, timestamp: frame.timestamp }]);
    this.#folded = fold(this.#folded, frame);
    for (const sink of this.sinks) sink.offer(frame);
    if (frame.event_type === "complete") this.end();
    this.host.changed(this);
    return true;
  }

  recap(): Frame | null {
    const { place, done, id } = this;
    const known = this.#folded;
    return {
      event_type: "subscribed",
      task_id: id,
      data: known
        ? {
            ...place,
            seq: known.snapshot.seq,
            resume: done ? "ended" : "fresh",
            snapshot: known.snapshot,
            ...({ logs: this.#logs, begun: [...known.begun], declared: [...known.declared] } satisfies Recap),
          }
        : { resume: "unknown" },
    };
  }

  protected build(before: TaskView | undefined, connection: ConnectionState): TaskView {
    const { snapshot, error } = this;
    const logs = this.#logs;
    return before &&
      before.connection === connection &&
      before.snapshot === snapshot &&
      before.logs === logs &&
      before.error === error
      ? before
      : { taskId: this.id, connection, snapshot, logs, error };
  }

  #control(frame: ControlFrame): void {
    const entered = this.enter(frame);
    const { seq, snapshot, resume, logs, begun, declared } = (frame.data ?? {}) as NonNullable<ControlFrame["data"]> & Recap;
    if (entered === "other") {
      this.#folded = null;
      this.#logs = [];
    }
    const { place, replay } = this;
    if (logs) this.#log(logs);
    // From here on, also if the connection is lost before anything has come. An end is told all the same.
    else if (resume === "fresh" && replay !== "all")
      place.last ??= Math.max(0, seq! - (replay === "none" && !isOver(snapshot!) ? 0 : 1));
    // There is none of a task that a server does not know yet.
    if (!entered || !snapshot) return;
    const known = this.#folded;
    // Of two connections the older one may have told more already.
    const isNews = !known || frame.event_type === "gap" || resume === "gap" || snapshot.seq > known.snapshot.seq;
    if (!isNews) return;
    this.#folded = unfold(
      snapshot,
      begun ? { snapshot, begun: new Map(begun), declared: new Set(declared) } : (known ?? undefined),
    );
  }

  #log(lines: readonly LogLine[]): void {
    const last = this.#logs.at(-1)?.n ?? 0;
    this.#logs = [...this.#logs, ...lines.filter(({ n }) => n > last)].slice(-this.host.logLines);
  }
}

export const isOver = (snapshot: Snapshot | null): snapshot is Snapshot => !!snapshot && hasEnded(snapshot.state);
