/** Events one by one, for whoever awaits them: from the first that is retained, without hole or repeat. */

import { ProgressError } from "./error.js";
import type { EventSink, Topic } from "./topic.js";
import type { ChannelEvent, ProgressEvent } from "./types.js";

/** Events that wait for a slow reader. Of a task those past it are asked for again; of a channel the oldest go. */
export const FEED_LIMIT = 1024;

/** When a page of history that could not be had is asked for again, in ms. */
export const HISTORY_MS = 2_000;

/** A source of events that has one now, has none yet, or has ended. */
export interface Feed<E> {
  /** The next event; null if there is none yet. */
  pull(): Promise<E | null>;
  readonly isOver: boolean;
  /** Why it cannot be watched. */
  readonly error: ProgressError | null;
  onWake: () => void;
  stop(): void;
}

abstract class QueueFeed<E> implements Feed<E>, EventSink<E> {
  onWake = (): void => {};
  protected readonly queue: E[] = [];
  protected isStopped = false;
  readonly #unlisten: () => void;

  constructor(protected readonly topic: Topic<unknown, E>) {
    topic.sinks.add(this);
    this.#unlisten = topic.listen(() => this.onWake(), false);
  }

  abstract pull(): Promise<E | null>;

  /** It has ended and all is told, or nothing more is asked for. */
  get isOver(): boolean {
    return this.isCut || (this.topic.done && !this.queue.length);
  }

  /** It is left, or the client is closed. */
  protected get isCut(): boolean {
    return this.isStopped || (this.topic.connection === "ended" && !this.topic.done);
  }

  get error(): ProgressError | null {
    return this.topic.error;
  }

  offer(event: E): void {
    this.queue.push(event);
    this.onWake();
  }

  wake(): void {
    this.onWake();
  }

  stop(): void {
    this.isStopped = true;
    this.topic.sinks.delete(this);
    this.#unlisten();
  }
}

/** The events of a channel, from when it was asked for on. */
export class ChannelFeed extends QueueFeed<ChannelEvent> {
  override offer(event: ChannelEvent): void {
    if (this.queue.length >= FEED_LIMIT) this.queue.shift();
    super.offer(event);
  }

  async pull(): Promise<ChannelEvent | null> {
    return this.queue.shift() ?? null;
  }
}

/** Asks for a page of a task's events after a position. */
export type History = (id: string, after: string | null) => Promise<HistoryPage>;

export interface HistoryPage {
  readonly events: readonly ProgressEvent[];
  readonly next?: string;
}

/** The events of a task. What was before this feed, and what it could not hold, is asked for. */
export class TaskFeed extends QueueFeed<ProgressEvent> {
  #epoch: string | null = null;
  #last = 0;
  /** The run before: history may know no more of it before the topic was told of the next one. */
  #past: string | null = null;

  constructor(
    topic: Topic<unknown, ProgressEvent>,
    readonly history: History,
  ) {
    super(topic);
  }

  override get isOver(): boolean {
    return this.isCut || (super.isOver && !this.#isBehind);
  }

  override offer(event: ProgressEvent): void {
    if (this.queue.length >= FEED_LIMIT) this.queue.length = 0;
    super.offer(event);
  }

  async pull(): Promise<ProgressEvent | null> {
    for (;;) {
      const event = this.queue[0];
      if (this.isCut || (!event && !this.#isBehind)) return null;
      if (event && event.epoch === this.#past) {
        this.queue.shift();
        continue;
      }
      if (!event || !this.#continues(event)) {
        await this.#fill();
        continue;
      }
      this.queue.shift();
      if (event.seq <= this.#last) continue;
      this.#last = event.seq;
      return event;
    }
  }

  /** Whether the topic has moved on without this feed. */
  get #isBehind(): boolean {
    const { epoch, last } = this.topic.place;
    return last !== null && epoch !== this.#past && (epoch !== this.#epoch || last > this.#last);
  }

  #continues({ epoch, seq, from = seq }: ProgressEvent): boolean {
    if (epoch !== this.#epoch && from === 1) this.#enter(epoch);
    return epoch === this.#epoch && from <= this.#last + 1;
  }

  async #fill(): Promise<void> {
    const { epoch, last } = this.topic.place;
    if (epoch !== this.#epoch) this.#enter(epoch);
    const page = await this.#page(`${epoch}:${this.#last}`);
    if (!page) return;
    const { events } = page;
    const first = events[0];
    const head = events.at(-1)?.seq ?? 0;
    // Events of another run are of one that is over, or are asked for again when it is their turn.
    const run = first?.epoch ?? epoch;
    const rest = this.queue.filter((event) => event.epoch === run && event.seq > head);
    this.queue.splice(0, Infinity, ...events, ...rest);
    if (first && first.epoch !== this.#epoch) this.#enter(first.epoch);
    // What is not told even now is retained no more.
    const next = this.queue[0];
    this.#last = Math.max(this.#last, next ? (next.from ?? next.seq) - 1 : (last ?? 0));
  }

  /** A page of history; null where it is to be asked for again. */
  async #page(after: string): Promise<HistoryPage | null> {
    try {
      return await this.history(this.topic.id, after);
    } catch (error) {
      if (error instanceof ProgressError && !error.isRetryable) throw error;
      await new Promise((resolve) => setTimeout(resolve, HISTORY_MS));
      return null;
    }
  }

  #enter(epoch: string | null): void {
    this.#past = this.#epoch;
    this.#epoch = epoch;
    this.#last = 0;
  }
}

/** One iterator over many feeds. Of a single one it throws why that cannot be watched; among many the others go on. */
export async function* iterate<E>(feeds: readonly Feed<E>[]): AsyncGenerator<E, void, undefined> {
  let wake = (): void => {};
  for (const feed of feeds) feed.onWake = () => wake();
  const lost = new Set<Feed<E>>();
  try {
    for (;;) {
      // Made before they are asked, so that no event comes unnoticed meanwhile.
      const woken = new Promise<void>((resolve) => (wake = resolve));
      let found = false;
      for (const feed of feeds) {
        if (lost.has(feed)) continue;
        const event = await feed.pull().catch((error: unknown) => {
          if (feeds.length === 1) throw error;
          lost.add(feed);
          return null;
        });
        if (event === null) continue;
        found = true;
        yield event;
      }
      if (found) continue;
      if (feeds.every((feed) => lost.has(feed) || feed.isOver)) {
        if (feeds.length === 1 && feeds[0]!.error) throw feeds[0]!.error;
        return;
      }
      await woken;
    }
  } finally {
    for (const feed of feeds) feed.stop();
  }
}
