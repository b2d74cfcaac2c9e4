/** What the packages of this client give and take: the client, React's hooks, the element. */

import type { ProgressError } from "./error.js";

export { ProgressError } from "./error.js";

/** `queued`, `running`, `paused` and `stalled` are active; the others are ends. */
export type TaskState =
  "queued" | "running" | "paused" | "stalled" | "completed" | "failed" | "cancelled" | "abandoned";

/** An error as the server tells it, in events, snapshots and answers alike. */
export interface ErrorObject {
  readonly code: string;
  readonly message: string;
  readonly is_retryable?: boolean;
  readonly stage?: string;
  readonly retry_count?: number;
  readonly max_retries?: number;
  readonly retry_after_ms?: number;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly solutions?: readonly string[];
  readonly trace_id?: string;
  readonly timestamp?: string;
}

/** A stage of a task; `render/tile-3` is a child of `render`. */
export interface Stage {
  readonly path: string;
  readonly label: string;
  readonly weight: number;
  readonly state: string;
  /** Percent of the stage, 0 to 100. */
  readonly progress: number;
  readonly current?: number | null;
  readonly total?: number | null;
  readonly unit?: string | null;
  readonly message?: string | null;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly eta_ms?: number | null;
  readonly elapsed_ms?: number | null;
}

/** A task, folded to its present state. A new object with every change, and never changed itself. */
export interface Snapshot {
  readonly task_id: string;
  readonly epoch: string;
  readonly seq: number;
  readonly name: string | null;
  readonly kind: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly parent?: string | null;
  readonly children?: { readonly total: number; readonly by_state: Readonly<Record<string, number>> } | null;
  readonly state: TaskState;
  /** Percent of the whole task, 0 to 100; under 100 until it has completed. */
  readonly progress: number;
  readonly stage: string | null;
  readonly message: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly eta_ms: number | null;
  readonly elapsed_ms: number | null;
  readonly started_at: string | null;
  readonly updated_at: string;
  readonly attempt: number;
  readonly stages: readonly Stage[];
  readonly custom: Readonly<Record<string, unknown>>;
  readonly last_error?: ErrorObject | null;
  readonly result?: unknown;
  readonly error?: ErrorObject | null;
  readonly cause?: string | null;
  /** Whether somebody has asked the task to stop. */
  readonly cancel_requested?: boolean;
  readonly dropped_logs?: number;
}

/** A line of a task's log; `n` counts them from 1. */
export interface LogLine {
  readonly n: number;
  readonly level: string;
  readonly message: string;
  readonly stage?: string;
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly timestamp: string;
}

/** An event of a task, as it came: it stands for `from ?? seq` to `seq`. */
export interface ProgressEvent<D = any> {
  readonly task_id: string;
  readonly epoch: string;
  readonly seq: number;
  readonly from?: number;
  readonly dropped_logs?: number;
  readonly event_type: string;
  readonly key?: string;
  readonly timestamp: string;
  readonly data: D;
}

/** An event in a channel; a position in it means something only there. */
export interface ChannelEvent<D = any> {
  readonly channel: string;
  readonly channel_epoch: string;
  readonly channel_seq: number;
  readonly channel_from?: number;
  /** Without a `task_id` where it was published into the channel itself. */
  readonly event: Omit<ProgressEvent<D>, "task_id" | "epoch" | "seq"> & Partial<ProgressEvent<D>>;
}

/**
 * How it stands with what is watched.
 *
 * - `idle`: nobody watches.
 * - `connecting`: there is no word of the server yet.
 * - `live`: events come as they happen. A task without a snapshot is one that the server does not know yet.
 * - `stale`: what is shown may be old: the connection is lost or silent, and is being made again.
 * - `resyncing`: the connection is back, and what was missed is on its way.
 * - `polling`: nothing streams here; the state is asked for again and again.
 * - `ended`: there is nothing more to come.
 */
export type ConnectionState = "idle" | "connecting" | "live" | "stale" | "resyncing" | "polling" | "ended";

/** What is known of a task at a moment: the same object until something changes. */
export interface TaskView {
  readonly taskId: string;
  readonly connection: ConnectionState;
  /** Null until there is one: before the server's first word, and for a task that it does not know yet. */
  readonly snapshot: Snapshot | null;
  /** The newest lines of its log, the oldest first: at most `logLines`. */
  readonly logs: readonly LogLine[];
  /** Why the task cannot be watched: refused, unknown, a grant that is none. Not the task's own error. */
  readonly error: ProgressError | null;
}

/** What a watch begins with: all that is retained, the newest event, or what happens from now on. */
export type Replay = "all" | "latest" | "none";

export interface TaskOptions {
  /**
   * What a first watch begins with (default `all`). With less a task that ran long is there at once, by its snapshot;
   * log lines and events from before are not told, but to `for await`, which asks for them.
   */
  replay?: Replay;
  /** Once, when the task has ended `completed`; also if it had before anybody watched. */
  onComplete?: (result: unknown, snapshot: Snapshot) => void;
  /** Once, when the task has ended in any other way, or cannot be watched. */
  onError?: (error: ProgressError, snapshot: Snapshot | null) => void;
  /** Every event, in order: those that are new to whoever asks. */
  onEvent?: (event: ProgressEvent) => void;
}

/** A task that may be watched. Whatever was asked for by the same id of the same client is one watch. */
export interface TaskHandle extends AsyncIterable<ProgressEvent> {
  readonly taskId: string;
  readonly view: TaskView;
  readonly snapshot: Snapshot | null;
  readonly connection: ConnectionState;
  /** Watches until what it gives is called. It is called with the present view at once, if there is a snapshot. */
  subscribe(listener: (view: TaskView) => void): () => void;
  /** Asks the task to stop; rejects with what the server said if it may not or cannot. */
  cancel(reason?: string): Promise<void>;
}

/** Many tasks as one: a map that is a new one with every change, in the order that was asked for. */
export interface TaskGroup extends AsyncIterable<ProgressEvent> {
  readonly views: ReadonlyMap<string, TaskView>;
  subscribe(listener: (views: ReadonlyMap<string, TaskView>) => void): () => void;
  /** Asks each to stop that is not known to have ended; rejects with the first refusal, when all were asked. */
  cancel(reason?: string): Promise<void>;
}

export interface ChannelView {
  readonly channel: string;
  readonly connection: ConnectionState;
  /** The newest events, the oldest first: at most `channelEvents`. */
  readonly events: readonly ChannelEvent[];
  readonly error: ProgressError | null;
}

export interface ChannelOptions {
  /** Every event, in order. */
  onEvent?: (event: ChannelEvent) => void;
  /** What a first watch begins with (default `none`: what happens from now on). */
  replay?: Replay;
}

export interface ChannelHandle extends AsyncIterable<ChannelEvent> {
  readonly channel: string;
  readonly view: ChannelView;
  readonly connection: ConnectionState;
  subscribe(listener: (view: ChannelView) => void): () => void;
}

export type TransportName = "websocket" | "fetch-sse" | "event-source" | "poll";

export interface ClientOptions {
  /** Where the routes are mounted: `https://example.org/api`; a path is of the page's origin. */
  url: string;
  /** The token for a connection, asked for before each attempt; null for none. */
  getToken?: () => string | null | undefined | Promise<string | null | undefined>;
  /** A grant to watch a task, for `event-source`, which can send no header. */
  getGrant?: (taskId: string) => string | null | undefined | Promise<string | null | undefined>;
  /** What is tried, best first (default: all, in the order of the type). */
  transports?: readonly TransportName[];
  /** Whether the tabs of an origin share a connection (default true, where the browser can); a name separates those that must not. */
  share?: boolean | string;
  /** Waits between attempts, in ms: uniformly from 0 to what doubles from `min` to `max` (default 500, 30 000). */
  backoff?: { min?: number; max?: number };
  /** After how many failed attempts in a row to give up (default: never). */
  maxAttempts?: number;
  /** Log lines kept for each task (default 200), and events for each channel (default 200). */
  logLines?: number;
  channelEvents?: number;
}

export interface ProgressClient {
  task(taskId: string, options?: TaskOptions): TaskHandle;
  tasks(taskIds: readonly string[], options?: TaskOptions): TaskGroup;
  channel(name: string, options?: ChannelOptions): ChannelHandle;
  /** The transport that is used now; null while none is. */
  readonly transport: TransportName | null;
  /** Of the connection, whatever is watched on it. */
  readonly connection: ConnectionState;
  subscribe(listener: () => void): () => void;
  /** A request of the routes, with the token, that gives the JSON or throws a `ProgressError`. */
  request<T = unknown>(path: string, init?: { method?: string; body?: unknown; signal?: AbortSignal }): Promise<T>;
  /** Ends all watches; the client is of no more use. */
  close(): void;
}
