/** Events one by one, for whoever awaits them: from the first that is retained, without hole or repeat. */

import type { EventSink, Topic } from "./topic.js";
import type { ChannelEvent, ProgressEvent } from "./types.js";

/** Events that wait for a slow reader. Of a task those past it are asked for again; of a channel the oldest go. */
export const FEED_LIMIT = 1024;

/** A source of events that has one now, has none yet, or has ended. */
export interface Feed<E> {
  /** The next event; null if there is none yet. */
  pull(): Promise<E | null>;
  readonly isOver: boolean;
  onWake: () => void;
  stop(): void;
}

abstract class QueueFeed<E> implements Feed<E>, EventSink<E> {
  onWake = (): void => {};
  protected readonly queue: E[] = [];
  readonly #unlisten: () => void;

  constructor(protected readonly topic: Topic<unknown, E>) {
    topic.sinks.add(this);
    this.#unlisten = topic.listen(() => this.onWake(), false);
  }

  abstract pull(): Promise<E | null>;

  get isOver(): boolean {
    return this.topic.done && !this.queue.length;
  }

  offer(event: E): void {
    this.queue.push(event);
    this.onWake();
  }

  wake(): void {
    this.onWake();
  }

  stop(): void {
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

  constructor(
    topic: Topic<unknown, ProgressEvent>,
    readonly history: History,
  ) {
    super(topic);
  }

  override get isOver(): boolean {
    return super.isOver && !this.#isBehind;
  }

  override offer(event: ProgressEvent): void {
    if (this.queue.length >= FEED_LIMIT) this.queue.length = 0;
    super.offer(event);
  }

  async pull(): Promise<ProgressEvent | null> {
    for (;;) {
      const event = this.queue[0];
      if (!event && !this.#isBehind) return null;
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
    return last !== null && (epoch !== this.#epoch || last > this.#last);
  }

  #continues({ epoch, seq, from = seq }: ProgressEvent): boolean {
    if (epoch !== this.#epoch && from === 1) this.#enter(epoch);
    return epoch === this.#epoch && from <= this.#last + 1;
  }

  async #fill(): Promise<void> {
    const { epoch, last } = this.topic.place;
    if (epoch !== this.#epoch) this.#enter(epoch);
    const { events } = await this.history(this.topic.id, `${epoch}:${this.#last}`);
    const first = events[0];
    const head = events.at(-1)?.seq ?? 0;
    const rest = this.queue.filter((event) => event.epoch !== first?.epoch || event.seq > head);
    this.queue.splice(0, Infinity, ...events, ...rest);
    if (first && first.epoch !== this.#epoch) this.#enter(first.epoch);
    // What is not told even now is retained no more.
    const next = this.queue[0];
    this.#last = Math.max(this.#last, next ? (next.from ?? next.seq) - 1 : (last ?? 0));
  }

  #enter(epoch: string | null): void {
    this.#epoch = epoch;
    this.#last = 0;
  }
}

/** One iterator over many feeds. */
export async function* iterate<E>(feeds: readonly Feed<E>[]): AsyncGenerator<E, void, undefined> {
  let wake = (): void => {};
  for (const feed of feeds) feed.onWake = () => wake();
  try {
    for (;;) {
      // Made before they are asked, so that no event comes unnoticed meanwhile.
      const woken = new Promise<void>((resolve) => (wake = resolve));
      let found = false;
      for (const feed of feeds) {
        const event = await feed.pull();
        if (event === null) continue;
        found = true;
        yield event;
      }
      if (found) continue;
      if (feeds.every((feed) => feed.isOver)) return;
      await woken;
    }
  } finally {
    for (const feed of feeds) feed.stop();
  }
}
