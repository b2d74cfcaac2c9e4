/** A server that is a few hundred lines: its logs, its verdicts and its conflation, without a socket. */

import { fold, hasEnded, unfold, type Folded } from "../../src/fold.js";
import type { Frame, Wanted } from "../../src/frames.js";
import type { ChannelEvent, ErrorObject, ProgressEvent, Snapshot } from "../../src/types.js";

/** Where frames of a session go. */
export interface Pipe {
  send(frame: Frame, id?: string): void;
  close(code: number, reason: string): void;
}

interface Log {
  epoch: string;
  events: ProgressEvent[];
  folded: Folded;
  /** The newest event that was lost for good. */
  floor: number;
}

type Topic = Pick<Wanted, "id" | "isChannel"> & { readonly after?: string | null; readonly replay?: string };

const blank = (task_id: string, epoch: string): Snapshot => ({
  task_id,
  epoch,
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
  updated_at: new Date(Date.now()).toISOString(),
  attempt: 1,
  stages: [],
  custom: {},
});

export class ModelServer {
  heartbeat = 30_000;
  /** How long a task is waited for that is not there. */
  unknownWait = 10_000;
  readonly sessions = new Set<Session>();
  readonly tasks = new Map<string, Log>();
  readonly channels = new Map<string, { epoch: string; events: ChannelEvent[] }>();
  /** Refusals by topic. */
  readonly refusals = new Map<string, ErrorObject>();
  #epochs = 0;

  /** Starts a task, again if there was one. */
  start(id: string, ...stages: readonly string[]): void {
    const epoch = `e${++this.#epochs}`;
    const isNew = !this.tasks.has(id);
    this.tasks.set(id, { epoch, events: [], folded: unfold(blank(id, epoch)), floor: 0 });
    for (const session of this.sessions) session.moved(id, isNew ? "created" : "restarted");
    const list = stages.map((path) => ({ path, label: path, weight: 1 }));
    this.publish(id, "started", {
      name: id,
      kind: null,
      labels: {},
      attempt: 1,
      started_at: new Date(Date.now()).toISOString(),
      stages: list,
    });
  }

  publish(id: string, event_type: string, data: unknown = {}, key?: string): void {
    const log = this.tasks.get(id)!;
    const event: ProgressEvent = {
      task_id: id,
      epoch: log.epoch,
      seq: log.folded.snapshot.seq + 1,
      event_type,
      timestamp: new Date(Date.now()).toISOString(),
      data,
      ...(key === undefined ? {} : { key }),
    };
    log.events.push(event);
    log.folded = fold(log.folded, event);
    for (const session of this.sessions) session.flush();
  }

  progress(id: string, progress: number, stage?: string): void {
    const { stage: before, stages } = this.snapshot(id);
    if (stage && !stages.some(({ path, state }) => path === stage && state !== "pending")) {
      this.publish(id, "stage_change", {
        previous_stage: before,
        current_stage: stage,
        progress,
        elapsed_ms: progress,
      });
    }
    this.publish(id, "progress_update", {
      progress,
      elapsed_ms: progress,
      ...(stage ? { stage, stage_progress: progress } : {}),
    });
  }

  complete(id: string, status = "completed", more: object = {}): void {
    this.publish(id, "complete", { status, progress: 100, duration_ms: 100, ...more });
  }

  /** Loses all events of a task up to a number. */
  forget(id: string, floor: number): void {
    const log = this.tasks.get(id)!;
    log.floor = floor;
    log.events = log.events.filter(({ seq }) => seq > floor);
    for (const session of this.sessions) session.gap(id);
  }

  emit(name: string, event_type: string, data: unknown = {}): void {
    const channel = this.channel(name);
    channel.events.push({
      channel: name,
      channel_epoch: channel.epoch,
      channel_seq: channel.events.length + 1,
      event: { event_type, timestamp: new Date(Date.now()).toISOString(), data },
    });
    for (const session of this.sessions) session.flush();
  }

  channel(name: string): { epoch: string; events: ChannelEvent[] } {
    let channel = this.channels.get(name);
    if (!channel) this.channels.set(name, (channel = { epoch: `c${++this.#epochs}`, events: [] }));
    return channel;
  }

  snapshot(id: string): Snapshot {
    return this.tasks.get(id)!.folded.snapshot;
  }

  /** Forgets all that it knew, as a process that was started anew. */
  restart(): void {
    for (const session of [...this.sessions]) session.end(1006, "");
    this.tasks.clear();
    this.channels.clear();
  }

  beat(): void {
    for (const session of this.sessions)
      session.pipe.send({ event_type: "heartbeat", timestamp: new Date(Date.now()).toISOString(), data: {} });
  }

  closeAll(code = 1006, reason = ""): void {
    for (const session of [...this.sessions]) session.end(code, reason);
  }
}

/** One connection. */
export class Session {
  readonly cursors = new Map<string, Topic & { last: number; timer?: ReturnType<typeof setTimeout> }>();
  /** While true nothing is sent, and what it misses is conflated. */
  isSlow = false;

  constructor(
    readonly server: ModelServer,
    readonly pipe: Pipe,
  ) {
    server.sessions.add(this);
    pipe.send({
      event_type: "connected",
      timestamp: new Date(Date.now()).toISOString(),
      data: { heartbeat_ms: server.heartbeat },
    });
  }

  subscribe(topic: Topic): void {
    const { id, isChannel, replay = "all" } = topic;
    const refusal = this.server.refusals.get(id);
    if (refusal) return this.#reject(topic, refusal);
    if (this.cursors.has(keyOf(topic))) return this.#reject(topic, { code: "ALREADY_SUBSCRIBED", message: "" });
    const [epoch = null, seq = "0"] = topic.after?.split(":") ?? [];
    const log = isChannel ? undefined : this.server.tasks.get(id);
    const channel = isChannel ? this.server.channel(id) : undefined;
    const place = log
      ? { epoch: log.epoch, head: log.folded.snapshot.seq, floor: log.floor }
      : { epoch: channel?.epoch, head: channel?.events.length ?? 0, floor: 0 };
    if (place.epoch === undefined) {
      this.#say(topic, "subscribed", { epoch: null, seq: 0, resume: "unknown", snapshot: null });
      const timer = setTimeout(() => {
        this.cursors.delete(keyOf(topic));
        this.#reject(topic, { code: "TASK_NOT_FOUND", message: `there is no task ${id}`, is_retryable: false });
      }, this.server.unknownWait);
      this.cursors.set(keyOf(topic), { ...topic, last: -1, timer });
      return;
    }
    const { head, floor } = place;
    const isSame = epoch === place.epoch;
    const isOver = log !== undefined && hasEnded(log.folded.snapshot.state);
    const after = isSame ? Number(seq) : { all: 0, latest: Math.max(0, head - 1), none: isOver ? head - 1 : head }[replay as "all"];
    const hasEndedBy = isOver && isSame && after >= head;
    const isGap = isSame ? after < floor || after > head : !epoch && floor > 0 && replay === "all";
    const resume = epoch && !isSame ? "reset" : hasEndedBy ? "ended" : isGap ? "gap" : isSame ? "resumed" : "fresh";
    const snapshot = log ? { snapshot: log.folded.snapshot } : {};
    this.#say(topic, "subscribed", { epoch: place.epoch, seq: head, resume, ...snapshot });
    if (hasEndedBy) return;
    if (isGap) {
      const reason = after > head ? "ahead" : "floor";
      this.#say(topic, "gap", {
        from: (after > head ? head : after) + 1,
        to: after > head ? after : floor,
        reason,
        ...snapshot,
      });
    }
    this.cursors.set(keyOf(topic), { ...topic, last: Math.min(after, head) });
    this.flush();
  }

  unsubscribe(topic: Topic): void {
    const cursor = this.cursors.get(keyOf(topic));
    clearTimeout(cursor?.timer);
    if (!this.cursors.delete(keyOf(topic))) this.#reject(topic, { code: "NOT_SUBSCRIBED", message: "" });
  }

  /** Sends what cursors have not had: of State that waits only the newest. */
  flush(): void {
    if (this.isSlow) return;
    for (const [key, cursor] of this.cursors) {
      if (cursor.last < 0) continue;
      if (cursor.isChannel) {
        for (const event of this.server.channel(cursor.id).events.slice(cursor.last)) this.pipe.send(event);
        cursor.last = this.server.channel(cursor.id).events.length;
        continue;
      }
      const log = this.server.tasks.get(cursor.id);
      if (!log) continue;
      const pending = log.events.filter(({ seq }) => seq > cursor.last);
      for (const [at, event] of pending.entries()) {
        const isOld = (later: ProgressEvent): boolean =>
          later.event_type === "progress_update" && later.data.stage === event.data.stage;
        if (event.event_type === "progress_update" && pending.slice(at + 1).some(isOld)) continue;
        const from = cursor.last + 1;
        cursor.last = event.seq;
        this.pipe.send(from === event.seq ? event : { ...event, from });
        if (event.event_type === "complete") this.cursors.delete(key);
      }
    }
  }

  /** A task is read from its beginning. */
  moved(id: string, reason: string): void {
    const cursor = this.cursors.get(`t${id}`);
    if (!cursor) return;
    clearTimeout(cursor.timer);
    cursor.last = 0;
    const { epoch, folded } = this.server.tasks.get(id)!;
    this.#say(cursor, "reset", { epoch, seq: folded.snapshot.seq, reason, snapshot: folded.snapshot });
  }

  gap(id: string): void {
    const cursor = this.cursors.get(`t${id}`);
    const log = this.server.tasks.get(id)!;
    if (!cursor || cursor.last >= log.floor) return;
    this.#say(cursor, "gap", { from: cursor.last + 1, to: log.floor, reason: "floor", snapshot: log.folded.snapshot });
  }

  end(code: number, reason: string): void {
    if (!this.server.sessions.delete(this)) return;
    for (const { timer } of this.cursors.values()) clearTimeout(timer);
    this.pipe.close(code, reason);
  }

  #reject(topic: Topic, error: ErrorObject): void {
    this.#say(topic, "rejected", error);
  }

  #say({ id, isChannel }: Topic, event_type: string, data: object): void {
    this.pipe.send({
      event_type,
      ...(isChannel ? { channel: id } : { task_id: id }),
      timestamp: new Date(Date.now()).toISOString(),
      data,
    });
  }
}

const keyOf = ({ id, isChannel }: Topic): string => (isChannel ? "c" : "t") + id;
