import { ProgressError } from "../../src/error.js";
import type {
  ChannelEvent,
  ChannelHandle,
  ChannelOptions,
  ChannelView,
  ConnectionState,
  LogLine,
  ProgressClient,
  ProgressEvent,
  Snapshot,
  TaskGroup,
  TaskHandle,
  TaskView,
  TransportName,
} from "../../src/types.js";

/** Answers a request: gives the JSON, or throws. */
export type Answer = (path: string, init: { method?: string; body?: unknown }) => unknown;

/** A `ProgressClient` that does what a test says: it keeps the contract of the views, and knows no network. */
export class FakeClient implements ProgressClient {
  transport: TransportName | null = "websocket";
  connection: ConnectionState = "live";
  closed = false;
  readonly requests: { path: string; method: string; body: unknown }[] = [];
  /** What `request` does; by default nothing is there. */
  answer: Answer = (path) => {
    throw refusal("TASK_NOT_FOUND", `there is no ${path}`, 404);
  };
  readonly #tasks = new Map<string, FakeTask>();
  readonly #channels = new Map<string, FakeChannel>();
  readonly #listeners = new Set<() => void>();

  task(taskId: string): FakeTask {
    let task = this.#tasks.get(taskId);
    if (task === undefined) this.#tasks.set(taskId, (task = new FakeTask(taskId, this)));
    return task;
  }

  tasks(taskIds: readonly string[]): TaskGroup {
    return new FakeGroup(taskIds.map((id) => this.task(id)));
  }

  channel(name: string): FakeChannel;
  channel(name: string, options: ChannelOptions): ChannelHandle;
  channel(name: string, options?: ChannelOptions): ChannelHandle {
    let channel = this.#channels.get(name);
    if (channel === undefined) this.#channels.set(name, (channel = new FakeChannel(name)));
    return options === undefined ? channel : channel.with(options);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async request<T>(path: string, init: { method?: string; body?: unknown; signal?: AbortSignal } = {}): Promise<T> {
    this.requests.push({ path, method: init.method ?? "GET", body: init.body });
    await Promise.resolve();
    init.signal?.throwIfAborted();
    return this.answer(path, init) as T;
  }

  close(): void {
    this.closed = true;
  }

  /** Changes the connection, of the client and of all that is watched. */
  connect(connection: ConnectionState, transport: TransportName | null = this.transport): void {
    this.connection = connection;
    this.transport = transport;
    for (const watched of [...this.#tasks.values(), ...this.#channels.values()]) watched.set({ connection });
    for (const listener of this.#listeners) listener();
  }

  /** How many listeners there are, on anything. */
  get listeners(): number {
    const watched = [...this.#tasks.values(), ...this.#channels.values()];
    return watched.reduce((sum, each) => sum + each.listeners, this.#listeners.size);
  }
}

class Watched<V extends { readonly connection: ConnectionState }> {
  /** How often somebody began to watch. */
  watches = 0;
  readonly #listeners = new Set<(view: V) => void>();

  constructor(public view: V) {}

  get connection(): ConnectionState {
    return this.view.connection;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  set(some: Partial<V>): void {
    this.view = { ...this.view, ...some };
    for (const listener of [...this.#listeners]) listener(this.view);
  }

  listen(listener: (view: V) => void): () => void {
    const own = (view: V) => listener(view);
    this.#listeners.add(own);
    this.watches += 1;
    return () => this.#listeners.delete(own);
  }
}

export class FakeTask extends Watched<TaskView> implements TaskHandle {
  readonly cancels: (string | undefined)[] = [];
  readonly #client: FakeClient;

  constructor(readonly taskId: string, client: FakeClient) {
    super({ taskId, connection: "connecting", snapshot: null, logs: [], error: null });
    this.#client = client;
  }

  get snapshot(): Snapshot | null {
    return this.view.snapshot;
  }

  subscribe(listener: (view: TaskView) => void): () => void {
    const leave = this.listen(listener);
    if (this.view.snapshot !== null) listener(this.view);
    return leave;
  }

  async cancel(reason?: string): Promise<void> {
    this.cancels.push(reason);
    await this.#client.request(`/tasks/${this.taskId}/cancel`, { method: "POST", body: { reason } });
  }

  /** Changes the snapshot; the first is one of a running task. */
  update(some: Partial<Snapshot>): void {
    const before = this.view.snapshot ?? snapshotOf(this.taskId);
    this.set({ connection: "live", snapshot: { ...before, seq: before.seq + 1, ...some } });
  }

  log(message: string, level = "INFO"): void {
    const n = (this.view.logs.at(-1)?.n ?? 0) + 1;
    const line: LogLine = { n, level, message, timestamp: "2026-11-22T16:34:32.318Z" };
    this.set({ logs: [...this.view.logs, line].slice(-200) });
  }

  refuse(error: ProgressError): void {
    this.set({ connection: "ended", error });
  }

  async *[Symbol.asyncIterator](): AsyncIterator<ProgressEvent> {}
}

class FakeGroup implements TaskGroup {
  #views: ReadonlyMap<string, TaskView>;

  constructor(readonly tasks: readonly FakeTask[]) {
    this.#views = this.#now();
  }

  get views(): ReadonlyMap<string, TaskView> {
    if (this.tasks.some((task) => this.#views.get(task.taskId) !== task.view)) this.#views = this.#now();
    return this.#views;
  }

  subscribe(listener: (views: ReadonlyMap<string, TaskView>) => void): () => void {
    const leave = this.tasks.map((task) => task.subscribe(() => listener(this.views)));
    return () => leave.forEach((each) => each());
  }

  async cancel(reason?: string): Promise<void> {
    await Promise.all(this.tasks.map((task) => task.cancel(reason)));
  }

  #now(): ReadonlyMap<string, TaskView> {
    return new Map(this.tasks.map((task) => [task.taskId, task.view]));
  }

  async *[Symbol.asyncIterator](): AsyncIterator<ProgressEvent> {}
}

export class FakeChannel extends Watched<ChannelView> implements ChannelHandle {
  readonly #hooks = new Set<(event: ChannelEvent) => void>();
  #seq = 0;

  constructor(readonly channel: string) {
    super({ channel, connection: "live", events: [], error: null });
  }

  subscribe(listener: (view: ChannelView) => void): () => void {
    return this.listen(listener);
  }

  override get listeners(): number {
    return super.listeners + this.#hooks.size;
  }

  /** A handle whose options count while it is subscribed to. */
  with({ onEvent }: ChannelOptions): ChannelHandle {
    const channel = this;
    return {
      channel: this.channel,
      get view() {
        return channel.view;
      },
      get connection() {
        return channel.connection;
      },
      subscribe(listener) {
        const hook = (event: ChannelEvent) => onEvent?.(event);
        channel.#hooks.add(hook);
        const leave = channel.subscribe(listener);
        return () => {
          channel.#hooks.delete(hook);
          leave();
        };
      },
      [Symbol.asyncIterator]: () => channel[Symbol.asyncIterator](),
    };
  }

  /** Has the next event come behind a hole. */
  skip(): void {
    this.#seq += 1;
  }

  emit(event: ChannelEvent["event"], channelEpoch = "1"): void {
    const frame: ChannelEvent = { channel: this.channel, channel_epoch: channelEpoch, channel_seq: ++this.#seq, event };
    for (const hook of this.#hooks) hook(frame);
    this.set({ events: [...this.view.events, frame].slice(-200) });
  }

  async *[Symbol.asyncIterator](): AsyncIterator<ChannelEvent> {}
}

export function refusal(code: string, message: string, status: number, solutions?: string[]): ProgressError {
  return new ProgressError({ code, message, is_retryable: false, ...(solutions ? { solutions } : {}) }, status);
}

export function snapshotOf(taskId: string, some: Partial<Snapshot> = {}): Snapshot {
  return {
    task_id: taskId,
    epoch: "1a2041bf600",
    seq: 1,
    name: null,
    kind: null,
    labels: {},
    state: "running",
    progress: 0,
    stage: null,
    message: null,
    metadata: {},
    eta_ms: null,
    elapsed_ms: 0,
    started_at: "2026-11-22T16:34:31.341Z",
    updated_at: "2026-11-22T16:34:31.341Z",
    attempt: 1,
    stages: [],
    custom: {},
    ...some,
  };
}
