/** What a program holds of what it watches. */

import { ProgressError } from "./error.js";
import type { HistoryPage } from "./feed.js";
import { isOver, type TaskTopic } from "./task.js";
import { guard, type EventSink, type Topic } from "./topic.js";
import type { ChannelTopic } from "./channel.js";
import type {
  ChannelEvent,
  ChannelHandle,
  ChannelOptions,
  ChannelView,
  ConnectionState,
  ProgressClient,
  ProgressEvent,
  Snapshot,
  TaskGroup,
  TaskHandle,
  TaskOptions,
  TaskView,
} from "./types.js";

/** What handles need of their client. */
export interface HandleHost {
  readonly request: ProgressClient["request"];
  /** The topic of a key that is watched, or this one from now on. */
  adopt<T extends Topic>(topic: T): T;
  /** Whether these options are told of a task's end for the first time. */
  isFirst(options: object, id: string): boolean;
}

/** Watches a topic by a listener, and its events by another. */
function watch<V, E>(
  topic: Topic<V, E>,
  isKnown: boolean,
  listener: (view: V) => void,
  onEvent?: (event: E) => void,
): () => void {
  const sink: EventSink<E> = { offer: (event) => guard(() => onEvent!(event)), wake() {} };
  if (onEvent) topic.sinks.add(sink);
  const stop = topic.listen(listener, isKnown);
  return () => {
    topic.sinks.delete(sink);
    stop();
  };
}

/** The error of a task that has ended in another way than it should. */
const errorOf = ({ state, error, cause }: Snapshot): ProgressError =>
  new ProgressError(
    error ?? { code: state.toUpperCase(), message: cause ? `${state}: ${cause}` : `the task is ${state}` },
  );

async function* iterateTasks(host: HandleHost, tasks: readonly Task[]): AsyncGenerator<ProgressEvent, void, undefined> {
  const { iterate, TaskFeed } = await import("./feed.js");
  const history = (id: string, after: string | null): Promise<HistoryPage> =>
    host.request(`/tasks/${id}/history?limit=1000&after=${after}`);
  yield* iterate(tasks.map((task) => new TaskFeed(task.adopt(), history)));
}

export class Task implements TaskHandle {
  readonly #host: HandleHost;
  readonly #options: TaskOptions;
  #topic: TaskTopic;

  constructor(host: HandleHost, topic: TaskTopic, options: TaskOptions = {}) {
    this.#host = host;
    this.#topic = topic;
    this.#options = options;
  }

  get taskId(): string {
    return this.#topic.id;
  }

  get view(): TaskView {
    return this.#topic.view;
  }

  get snapshot(): Snapshot | null {
    return this.#topic.snapshot;
  }

  get connection(): ConnectionState {
    return this.#topic.connection;
  }

  subscribe(listener: (view: TaskView) => void): () => void {
    const topic = this.adopt();
    const { onEvent } = this.#options;
    let isOn = true;
    const tell = (view: TaskView): void => {
      guard(() => listener(view));
      if (isOn) this.#conclude(view);
    };
    const isKnown = topic.snapshot !== null || topic.done;
    const stop = watch(topic, isKnown, tell, onEvent && ((event) => this.#options.onEvent?.(event)));
    return () => {
      isOn = false;
      stop();
    };
  }

  async cancel(reason?: string): Promise<void> {
    const body = reason === undefined ? {} : { reason };
    await this.#host.request(`/tasks/${this.taskId}/cancel`, { method: "POST", body });
  }

  [Symbol.asyncIterator](): AsyncGenerator<ProgressEvent, void, undefined> {
    return iterateTasks(this.#host, [this]);
  }

  /** Its topic, among those that are watched from now on. */
  adopt(): TaskTopic {
    return (this.#topic = this.#host.adopt(this.#topic));
  }

  /** Tells the end, once for these options, whoever is told of it and however often. */
  #conclude({ snapshot, error }: TaskView): void {
    const options = this.#options;
    const failure = error ?? (isOver(snapshot) && snapshot.state !== "completed" ? errorOf(snapshot) : null);
    if (!failure && !isOver(snapshot)) return;
    if (!this.#host.isFirst(options, this.taskId)) return;
    guard(() => (failure ? options.onError?.(failure, snapshot) : options.onComplete?.(snapshot!.result, snapshot!)));
  }
}

export class Group implements TaskGroup {
  readonly #host: HandleHost;
  readonly #tasks: readonly Task[];
  #views: ReadonlyMap<string, TaskView> = new Map();

  constructor(host: HandleHost, tasks: readonly Task[]) {
    this.#host = host;
    this.#tasks = tasks;
  }

  get views(): ReadonlyMap<string, TaskView> {
    const known = this.#views;
    const isSame = known.size && this.#tasks.every(({ taskId, view }) => known.get(taskId) === view);
    return isSame ? known : (this.#views = new Map(this.#tasks.map(({ taskId, view }) => [taskId, view])));
  }

  subscribe(listener: (views: ReadonlyMap<string, TaskView>) => void): () => void {
    let isOn = true;
    let isDue = false;
    // Once for all tasks that have changed together.
    const tell = (): void => {
      if (isDue) return;
      isDue = true;
      queueMicrotask(() => {
        isDue = false;
        if (isOn) guard(() => listener(this.views));
      });
    };
    const stops = this.#tasks.map((task) => task.subscribe(tell));
    return () => {
      isOn = false;
      for (const stop of stops) stop();
    };
  }

  async cancel(reason?: string): Promise<void> {
    await Promise.all(this.#tasks.map((task) => isOver(task.snapshot) || task.cancel(reason)));
  }

  [Symbol.asyncIterator](): AsyncGenerator<ProgressEvent, void, undefined> {
    return iterateTasks(this.#host, this.#tasks);
  }
}

export class Channel implements ChannelHandle {
  readonly #host: HandleHost;
  readonly #options: ChannelOptions;
  #topic: ChannelTopic;

  constructor(host: HandleHost, topic: ChannelTopic, options: ChannelOptions = {}) {
    this.#host = host;
    this.#topic = topic;
    this.#options = options;
  }

  get channel(): string {
    return this.#topic.id;
  }

  get view(): ChannelView {
    return this.#topic.view;
  }

  get connection(): ConnectionState {
    return this.#topic.connection;
  }

  subscribe(listener: (view: ChannelView) => void): () => void {
    const topic = this.#adopt();
    const { onEvent } = this.#options;
    const isKnown = topic.view.events.length > 0 || topic.done;
    return watch(topic, isKnown, listener, onEvent && ((event) => this.#options.onEvent?.(event)));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ChannelEvent, void, undefined> {
    const { ChannelFeed, iterate } = await import("./feed.js");
    yield* iterate([new ChannelFeed(this.#adopt())]);
  }

  #adopt(): ChannelTopic {
    return (this.#topic = this.#host.adopt(this.#topic));
  }
}
