/** A task or channel that is watched: where it stands, who listens, and what a frame does to it. */

import { enter, positionOf, type Place } from "./continuity.js";
import { ProgressError } from "./error.js";
import { topicKey, type ControlFrame, type Frame, type Wanted } from "./frames.js";
import type { ConnectionState, Replay } from "./types.js";

/** What a topic needs of its client. */
export interface TopicHost {
  readonly logLines: number;
  readonly channelEvents: number;
  /** How it stands with the connection, whatever is watched on it. */
  readonly link: ConnectionState;
  /** The view of a topic is another; its listeners are called soon, once for all that changes until then. */
  changed(topic: Topic): void;
  /** The first listener has come or the last one has gone. */
  retained(topic: Topic): void;
}

/** Whoever wants each event of a topic, and not only its view. */
export interface EventSink<E> {
  offer(event: E): void;
  /** Something else has changed: it has ended, or has moved on without events. */
  wake(): void;
}

/** Topics that were made so far. */
let watches = 0;

export abstract class Topic<V = unknown, E = unknown> {
  readonly key: string;
  readonly place: Place = { epoch: null, last: null };
  /** Whether the server has given its verdict on the present connection. */
  told = false;
  /** Whether nothing more is to come. */
  done = false;
  error: ProgressError | null = null;
  /** Tabs that watch it by this one's connection. */
  readonly tabs = new Set<string>();
  readonly sinks = new Set<EventSink<E>>();
  /** Whether it is watched from here, or was until a moment ago. */
  held = false;
  /** Each with the view that it was called with last. */
  readonly #listeners = new Set<{ readonly listener: (view: never) => void; view: unknown }>();
  readonly #watch = ++watches;
  #view: V | undefined;

  constructor(
    readonly host: TopicHost,
    readonly id: string,
    readonly isChannel: boolean,
    readonly replay: Replay,
  ) {
    this.key = topicKey(isChannel, id);
  }

  /** Takes a frame about this topic; false where something is missing before it that nobody declared. */
  abstract take(frame: Frame): boolean;

  protected abstract build(before: V | undefined, connection: ConnectionState): V;

  /** The frame that tells another tab all that is known here; null while there is nothing. */
  abstract recap(): Frame | null;

  /** The same object until something changes. */
  get view(): V {
    return (this.#view = this.build(this.#view, this.connection));
  }

  get connection(): ConnectionState {
    const { link } = this.host;
    const known = this.place.epoch !== null;
    if (this.done || link === "ended") return "ended";
    if (!this.watched) return "idle";
    if (link !== "live" && link !== "polling") return known ? "stale" : "connecting";
    return this.told ? link : known ? "resyncing" : "connecting";
  }

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  get wanted(): Wanted | null {
    const { key, id, isChannel, replay } = this;
    return this.done || !(this.held || this.tabs.size)
      ? null
      : { key, watch: this.#watch, id, isChannel, replay, after: positionOf(this.place) };
  }

  /** Adds a listener, which is called at once if there is something to tell. */
  listen(listener: (view: V) => void, isKnown: boolean): () => void {
    const entry = { listener, view: undefined };
    const isFirst = !this.watched;
    this.#listeners.add(entry);
    this.held = true;
    if (isFirst) this.host.retained(this);
    if (isKnown) this.#tell(entry, this.view);
    return () => {
      if (this.#listeners.delete(entry) && !this.watched) this.host.retained(this);
    };
  }

  /** Calls the listeners that were not told of the present view. */
  flush(): void {
    const { view } = this;
    for (const sink of this.sinks) sink.wake();
    for (const entry of [...this.#listeners]) if (this.#listeners.has(entry)) this.#tell(entry, view);
  }

  #tell(entry: { readonly listener: (view: never) => void; view: unknown }, view: V): void {
    if (entry.view === view) return;
    entry.view = view;
    guard(() => (entry.listener as (view: V) => void)(view));
  }

  /** Ends the watch: nothing more is to come. */
  end(error: ProgressError | null = null): void {
    this.done = true;
    this.error ??= error;
    this.host.changed(this);
  }

  /** Reads a verdict, `reset` or `gap`: from where on events count. Null while there is no such topic yet. */
  protected enter({ event_type, data = {} }: ControlFrame): "same" | "other" | null {
    const { epoch, resume, reason, from = 1, last } = data;
    const { place } = this;
    this.host.changed(this);
    if (event_type === "gap") {
      if (reason === "ahead") place.last = from - 1;
      return "same";
    }
    if (epoch == null) {
      // Of what was known it is not the state by now.
      this.told = place.epoch === null;
      return null;
    }
    const same = enter(place, epoch);
    this.told = true;
    this.error = null;
    if (last != null && last > (place.last ?? -1)) place.last = last;
    if (resume === "ended") this.end();
    return same ? "same" : "other";
  }
}

/** Calls what is not ours: what it throws is told like any uncaught error, and breaks nobody else. */
export function guard(call: () => void): void {
  try {
    call();
  } catch (error) {
    // Not everywhere: Node has no such function.
    if (typeof reportError === "function") reportError(error);
    else
      queueMicrotask(() => {
        throw error;
      });
  }
}
