/** The client: what is watched, by one connection, and who is told. */

import { ChannelTopic } from "./channel.js";
import type { Source } from "./connection.js";
import { ProgressError, refusal } from "./error.js";
import { keyOf, topicKey, type ControlData, type ControlFrame, type Frame, type Wanted } from "./frames.js";
import { Channel, Group, Task, type HandleHost } from "./handles.js";
import type { TabHost } from "./share/tabs.js";
import { openSource } from "./source.js";
import { TaskTopic } from "./task.js";
import { guard, type Topic, type TopicHost } from "./topic.js";
import type { Env } from "./transports/transport.js";
import type {
  ChannelHandle,
  ChannelOptions,
  ClientOptions,
  ConnectionState,
  ErrorObject,
  ProgressClient,
  TaskGroup,
  TaskHandle,
  TaskOptions,
  TransportName,
} from "./types.js";

/** How long a topic is watched on without a listener, in ms: a remount makes no traffic. */
export const LINGER_MS = 500;
/** When what was refused for now is asked for again, in ms: uniformly up to that, doubled to the second each time. */
export const REFUSED_MS = [2_000, 60_000] as const;

/** When code that could not be loaded is asked for again, in ms. */
const LOAD_MS = 3_000;

/**
 * Makes a client of the routes at a URL. It connects when something is watched, and not before.
 *
 * ```ts
 * const client = createProgressClient({ url: "/progress" });
 * client.task("video-42").subscribe(({ snapshot }) => show(snapshot));
 * ```
 */
export const createProgressClient = (options: ClientOptions): ProgressClient => new Client(options);

export class Client implements ProgressClient, TopicHost, HandleHost, TabHost {
  transport: TransportName | null = null;
  link: ConnectionState = "idle";
  readonly logLines: number;
  readonly channelEvents: number;
  readonly #env: Env;
  readonly #topics = new Map<string, Topic>();
  /** Null while it is not loaded, or the page is put aside. */
  #source: Source | null = null;
  #isLoading = false;
  /** Whether the page is frozen, or kept to be shown again by "back". */
  #isAside = false;
  readonly #unlisten: () => void;
  readonly #listeners = new Map<object, () => void>();
  readonly #changed = new Set<Topic>();
  /** Who was told of which ends. */
  readonly #ended = new WeakMap<object, Set<string>>();
  /** The transport that was used last. */
  #used: TransportName | null = null;
  /** Topics that were refused for now, and how often in a row. */
  readonly #refused = new Map<string, { times: number; until: number }>();
  #isFlushing = false;
  #isRefreshing = false;

  constructor(options: ClientOptions) {
    const { url, logLines = 200, channelEvents = 200 } = options;
    this.logLines = logLines;
    this.channelEvents = channelEvents;
    this.#env = {
      // Not before it is needed: where a page is rendered on a server there is no origin.
      get url() {
        return new URL(url, globalThis.location?.href).href.replace(/\/+$/, "");
      },
      options,
      headers: async () => {
        const token = await options.getToken?.();
        return token ? { authorization: `Bearer ${token}` } : {};
      },
    };
    this.#unlisten = listenToPage((isAside) => this.#setAside(isAside));
  }

  get connection(): ConnectionState {
    const { link } = this;
    const wanted = [...this.#topics.values()].filter((topic) => topic.watched && !topic.done);
    return (link === "live" || link === "polling") && wanted.some((topic) => topic.connection === "resyncing")
      ? "resyncing"
      : link;
  }

  task(taskId: string, options?: TaskOptions): TaskHandle {
    return this.#task(taskId, options);
  }

  tasks(taskIds: readonly string[], options?: TaskOptions): TaskGroup {
    return new Group(
      this,
      [...new Set(taskIds)].map((id) => this.#task(id, options)),
    );
  }

  channel(name: string, options?: ChannelOptions): ChannelHandle {
    const known = this.#topics.get(topicKey(true, name)) as ChannelTopic | undefined;
    return new Channel(this, known ?? checked(new ChannelTopic(this, name, true, options?.replay ?? "none")), options);
  }

  subscribe(listener: () => void): () => void {
    const token = {};
    this.#listeners.set(token, listener);
    return () => void this.#listeners.delete(token);
  }

  async request<T = unknown>(
    path: string,
    init: { method?: string; body?: unknown; signal?: AbortSignal } = {},
  ): Promise<T> {
    const { method = "GET", body, signal } = init;
    const headers = await this.#env.headers();
    if (body !== undefined) headers["content-type"] = "application/json";
    const response = await fetch(this.#env.url + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
    const answer: unknown = await response.json().catch(() => null);
    if (!response.ok) throw refusal(response.status, answer);
    return answer as T;
  }

  close(): void {
    this.#unlisten();
    this.#source?.close();
    this.#source = null;
    this.status("ended", null, true);
  }

  // What topics and handles ask of it.

  adopt<T extends Topic>(topic: T): T {
    const known = this.#topics.get(topic.key) as T | undefined;
    if (!known) this.#topics.set(topic.key, topic);
    return known ?? topic;
  }

  changed(topic: Topic): void {
    this.#changed.add(topic);
    this.#flushSoon();
  }

  retained(topic: Topic): void {
    this.changed(topic);
    if (topic.watched) return this.#refresh();
    setTimeout(() => this.settle(topic), LINGER_MS);
  }

  isFirst(options: object, id: string): boolean {
    const ids = this.#ended.get(options) ?? new Set();
    this.#ended.set(options, ids);
    return !ids.has(id) && !!ids.add(id);
  }

  // What other tabs want of it.

  topic(key: string): Topic | undefined {
    return this.#topics.get(key);
  }

  topics(): Iterable<Topic> {
    return this.#topics.values();
  }

  lend({ key, id, isChannel, replay, after }: Wanted): Topic {
    const known = this.#topics.get(key);
    if (known) return known;
    const topic = this.adopt<Topic>(
      isChannel ? new ChannelTopic(this, id, true, replay) : new TaskTopic(this, id, replay),
    );
    const colon = after?.indexOf(":") ?? -1;
    if (after && colon > 0)
      Object.assign(topic.place, { epoch: after.slice(0, colon), last: Number(after.slice(colon + 1)) });
    return topic;
  }

  settle(topic: Topic): void {
    if (topic.watched || topic.tabs.size) return;
    topic.held = false;
    this.#refused.delete(topic.key);
    if (this.#topics.get(topic.key) !== topic) return;
    this.#topics.delete(topic.key);
    topic.told = false;
    this.#refresh();
  }

  // What the connection tells.

  wanted(): Wanted[] {
    const now = Date.now();
    return [...this.#topics.values()].flatMap((topic) => {
      const until = this.#refused.get(topic.key)?.until ?? 0;
      return until > now ? [] : (topic.wanted ?? []);
    });
  }

  take(frame: Frame): boolean {
    const topic = this.#topics.get(keyOf(frame) ?? "");
    if (!topic) return true;
    const { event_type, data } = frame as ControlFrame;
    if (event_type === "rejected") {
      this.#reject(topic, data as ErrorObject);
      return true;
    }
    const isContinued = topic.take(frame);
    if (topic.told) this.#refused.delete(topic.key);
    if (topic.done) this.#refresh();
    return isContinued;
  }

  status(link: ConnectionState, transport: TransportName | null, lost: boolean): void {
    if (lost) for (const topic of this.#topics.values()) topic.told = false;
    if (this.link === link && this.transport === transport && !lost) return;
    this.link = link;
    this.transport = transport;
    if (transport && transport !== this.#used) {
      this.#used = transport;
      // What one transport cannot watch another may.
      this.#refused.clear();
      this.#refresh();
    }
    for (const topic of this.#topics.values()) this.#changed.add(topic);
    this.#flushSoon();
  }

  fail(error: ErrorObject): void {
    for (const topic of this.#topics.values()) if (topic.wanted) topic.end(new ProgressError(error));
  }

  #task(id: string, options?: TaskOptions): Task {
    const known = this.#topics.get(topicKey(false, id)) as TaskTopic | undefined;
    return new Task(this, known ?? checked(new TaskTopic(this, id, options?.replay)), options);
  }

  #reject(topic: Topic, error: ErrorObject & ControlData): void {
    // The answer to a command that came too late: the next one has its own.
    if (/^(NOT|ALREADY)_SUBSCRIBED$/.test(error.code)) return;
    const times = (this.#refused.get(topic.key)?.times ?? 0) + 1;
    // Once more with another token: this one may have ended on its way.
    if (error.final || (!error.is_retryable && !(error.code === "UNAUTHENTICATED" && times === 1))) {
      topic.end(new ProgressError(error));
      return this.#refresh();
    }
    topic.told = false;
    // A task's error would be its end.
    if (topic.isChannel) topic.error = new ProgressError(error);
    this.changed(topic);
    const [first, most] = REFUSED_MS;
    const wait = (error.retry_after_ms ?? 0) + Math.random() * Math.min(most, first * 2 ** times);
    this.#refused.set(topic.key, { times, until: Date.now() + wait });
    setTimeout(() => this.#refresh(), wait + 1);
  }

  /** Tells the connection what is watched, once for all that changes together. */
  #refresh(): void {
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    queueMicrotask(() => {
      this.#isRefreshing = false;
      if (this.#source) this.#source.refresh();
      else if (this.wanted().length) void this.#load();
    });
  }

  /** Loads what connects, again and again if it does not come. */
  async #load(): Promise<void> {
    if (this.#isLoading || this.#isAside || this.link === "ended") return;
    this.#isLoading = true;
    this.status("connecting", null, false);
    try {
      const source = await openSource(this.#env, this);
      if (this.#isAside || (this.link as ConnectionState) === "ended") source.close();
      else (this.#source = source).refresh();
    } catch {
      setTimeout(() => this.#refresh(), LOAD_MS);
    } finally {
      this.#isLoading = false;
    }
  }

  /** A page that is put aside holds no connection and no lock: others go on without it. */
  #setAside(isAside: boolean): void {
    this.#isAside = isAside;
    if (isAside) {
      this.#source?.close();
      this.#source = null;
      if (this.link !== "ended" && this.link !== "idle") this.status("stale", null, true);
    } else this.#refresh();
  }

  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => {
      this.#isFlushing = false;
      const changed = [...this.#changed];
      this.#changed.clear();
      for (const topic of changed) topic.flush();
      for (const [token, listener] of [...this.#listeners]) if (this.#listeners.has(token)) guard(listener);
    });
  }
}

/** A name that the server would refuse is not sent: it could spoil the request for others. */
function checked<T extends Topic>(topic: T): T {
  const isReserved = topic.isChannel && topic.id[0] === "_" && topic.id !== "_tasks";
  if (isReserved || !/^[\w.:-]{1,128}$/.test(topic.id)) {
    const what = topic.isChannel ? "channel" : "task id";
    topic.end(
      new ProgressError({
        code: `INVALID_${what.toUpperCase().replace(" ", "_")}`,
        message: `this is no ${what}: ${topic.id}`,
      }),
    );
  }
  return topic;
}

/** Tells when the page is put aside and comes back. */
function listenToPage(call: (isAside: boolean) => void): () => void {
  const away = (): void => call(true);
  const back = (): void => call(false);
  const events = [
    [globalThis, "pagehide", away],
    [globalThis, "pageshow", back],
    [globalThis.document, "freeze", away],
    [globalThis.document, "resume", back],
  ] as const;
  for (const [target, type, listener] of events) target?.addEventListener?.(type, listener);
  return () => {
    for (const [target, type, listener] of events) target?.removeEventListener?.(type, listener);
  };
}
