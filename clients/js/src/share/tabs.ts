/**
 * One connection for all tabs of an origin.
 *
 * The tab that has the lock leads: it holds the connection, for what any tab watches, and relays each frame. Every
 * tab folds by itself and knows where it stands, so that whoever leads next goes on from there.
 */

import type { Connection, Source, Watcher } from "../connection.js";
import { positionOf } from "../continuity.js";
import type { HistoryPage } from "../feed.js";
import type { ControlFrame, Frame, Wanted } from "../frames.js";
import { keyOf } from "../frames.js";
import type { Topic } from "../topic.js";
import type { Env } from "../transports/transport.js";
import type { ConnectionState, ErrorObject, TransportName } from "../types.js";
import { VERSION, type Message, type Say } from "./messages.js";

/** How often the leader says that it is there, in ms; after twice that its silence is asked about. */
export const ALIVE_MS = 30_000;
/** How long it may leave that without an answer before another takes the lock, in ms. */
export const ANSWER_MS = 3_000;
/** When code that could not be loaded is asked for again, in ms. */
const LOAD_MS = 3_000;
/** Tabs that come to this at once take it one after another: up to so much later, in ms. */
const SPREAD_MS = 1_000;

/** How long a tab asks for what it has slept through, in ms. */
const CATCH_UP_MS = 10_000;
/** Frames of a task that wait meanwhile; with more the leader is asked again for where it stands. */
const WAITING = 1_000;

/** A client whose connection may be another tab's, and serve other tabs. */
export interface TabHost extends Watcher {
  topic(key: string): Topic | undefined;
  /** All topics that are wanted here, whoever wants them. */
  topics(): Iterable<Topic>;
  /** A topic that another tab wants, from where that one stands if it is not here yet. */
  lend(wanted: Wanted): Topic;
  /** Another tab may have been the last to want it. */
  settle(topic: Topic): void;
  request<T>(path: string, init: { signal: AbortSignal }): Promise<T>;
}

export class Tabs implements Source, Watcher {
  readonly #env: Env;
  readonly #host: TabHost;
  readonly #open: (env: Env, watcher: Watcher) => Promise<Connection>;
  readonly #id = crypto.randomUUID();
  readonly #name: string;
  readonly #channel: BroadcastChannel;
  /** Gives up the locks, and what waits for them. */
  readonly #abort = new AbortController();
  readonly #closed = new Promise<void>((resolve) => this.#abort.signal.addEventListener("abort", () => resolve()));
  /** There while this tab leads. */
  #connection: Connection | null = null;
  #isLeading = false;
  /** Whether it has the lock by which others know that it is there. */
  #isHere = false;
  /** Tabs that this one serves. */
  readonly #served = new Set<string>();
  #outbox: Frame[] = [];
  /** Frames of tasks whose events are asked for first: by the leader's word, for this tab has missed them. */
  readonly #waiting = new Map<string, Frame[]>();
  #status: Say & { type: "status" } = { type: "status", link: "connecting", transport: null, lost: true };
  #heard = Date.now();
  #asked = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(env: Env, host: TabHost, open: (env: Env, watcher: Watcher) => Promise<Connection>) {
    const { share } = env.options;
    this.#env = env;
    this.#host = host;
    this.#open = open;
    this.#name = `progress-rs/${VERSION}:${env.url}:${typeof share === "string" ? share : ""}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => this.#hear(data);
    // Whoever leads knows by this lock when this tab is gone, however it goes. This tab has it before it asks for
    // anything: else the leader could get it first, and take this tab for gone.
    void this.#lock(`${this.#name}:tab:${this.#id}`, () => {
      this.#isHere = true;
      this.refresh();
      return this.#closed;
    });
    this.#queue();
    this.#ask();
    this.#watch();
  }

  refresh(): void {
    if (this.#isLeading) return this.#connection?.refresh();
    if (!this.#isHere) return;
    const topics = [...this.#host.topics()].flatMap((topic) => {
      const { wanted, told } = topic;
      return wanted ? { ...wanted, told } : [];
    });
    this.#say({ type: "want", topics });
    this.#asked = Math.min(this.#asked, Date.now());
    this.#watch();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#connection?.close();
    this.#abort.abort();
    this.#channel.close();
  }

  // What the connection tells while this tab leads: the same is told to the others.

  wanted(): readonly Wanted[] {
    return this.#host.wanted();
  }

  take(frame: Frame): boolean {
    if (this.#served.size) {
      if (!this.#outbox.length) queueMicrotask(() => this.#relay());
      this.#outbox.push(frame);
    }
    return this.#host.take(frame);
  }

  status(link: ConnectionState, transport: TransportName | null, lost: boolean): void {
    // Frames from before it go before it.
    this.#relay();
    const { link: before, transport: old } = this.#status;
    this.#status = { type: "status", link, transport, lost: false };
    if (lost || link !== before || transport !== old) this.#say({ ...this.#status, lost });
    this.#host.status(link, transport, lost);
  }

  fail(error: ErrorObject): void {
    this.#say({ type: "fail", error });
    this.#host.fail(error);
  }

  // The lock.

  /** Holds a lock until what it is held for is done. */
  async #lock(name: string, hold: (lock: Lock | null) => Promise<void>, options: LockOptions = {}): Promise<void> {
    try {
      await navigator.locks.request(
        name,
        { ...(options.steal ? {} : { signal: this.#abort.signal }), ...options },
        hold,
      );
    } catch {
      // Taken from us, or given up.
    }
  }

  #queue(options?: LockOptions): void {
    void this.#lock(
      this.#name,
      async () => {
        if (this.#abort.signal.aborted) return;
        this.#lead();
        await this.#closed;
      },
      options,
    ).then(() => {
      // Another tab has taken the lock, as from one that sleeps: back into the queue.
      if (this.#isLeading && !this.#abort.signal.aborted) {
        this.#follow();
        this.#queue();
      }
    });
  }

  #lead(): void {
    if (this.#isLeading) return;
    this.#isLeading = true;
    this.#asked = Infinity;
    this.#host.status("connecting", null, true);
    this.#say({ type: "lead" });
    this.#watch();
    this.#connect();
  }

  /** Loads the connection, again and again if it does not come. */
  #connect(): void {
    const isLeading = (): boolean => this.#isLeading && !this.#abort.signal.aborted && !this.#connection;
    this.#open(this.#env, this).then(
      (connection) => {
        if (!isLeading()) return connection.close();
        this.#connection = connection;
        connection.refresh();
      },
      () => setTimeout(() => isLeading() && this.#connect(), LOAD_MS),
    );
  }

  #follow(): void {
    this.#isLeading = false;
    this.#connection?.close();
    this.#connection = null;
    for (const tab of [...this.#served]) this.#forget(tab);
    this.#host.status("connecting", null, true);
    this.#heard = Date.now();
    this.refresh();
  }

  // The others.

  #say(say: Say, to?: string): void {
    if (this.#abort.signal.aborted) return;
    this.#channel.postMessage({ ...say, from: this.#id, ...(to ? { to } : {}) });
  }

  #relay(): void {
    const frames = this.#outbox;
    this.#outbox = [];
    if (frames.length) this.#say({ type: "frames", frames });
  }

  #hear(message: Message): void {
    const { type, from, to } = message;
    if (to && to !== this.#id) return;
    if (type === "want") return this.#isLeading ? this.#serve(from, message.topics) : undefined;
    if (type === "ping") return this.#isLeading ? this.#say(this.#status, from) : undefined;
    // Of two that lead for a moment, the one that has the lock will be heard again.
    if (this.#isLeading) return;
    this.#heard = Date.now();
    this.#asked = Infinity;
    this.#watch();
    const host = this.#host;
    if (type === "lead") {
      host.status("connecting", null, true);
      this.refresh();
    } else if (type === "status") host.status(message.link, message.transport, message.lost);
    else if (type === "fail") host.fail(message.error);
    else this.#takeAll(message.frames);
  }

  #takeAll(frames: readonly Frame[]): void {
    let isWhole = true;
    for (const frame of frames) {
      const key = keyOf(frame) ?? "";
      const topic = this.#host.topic(key);
      const waiting = this.#waiting.get(key);
      if (waiting) {
        if (waiting.length < WAITING) waiting.push(frame);
      } else if (topic && hasMissed(topic, frame)) void this.#catchUp(topic, frame);
      else if (!this.#host.take(frame) && topic?.told) {
        // Missed between two leaders: the present one tells where it stands.
        topic.told = false;
        isWhole = false;
      }
    }
    if (!isWhole) this.refresh();
  }

  /** Takes the events that this tab has slept through, before the leader's word of where it stands. */
  async #catchUp(topic: Topic, recap: Frame): Promise<void> {
    const { key, id, place } = topic;
    const frames: Frame[] = [];
    this.#waiting.set(key, frames);
    const init = { signal: AbortSignal.timeout(CATCH_UP_MS) };
    try {
      for (let after: string | null = positionOf(place); after;) {
        const page: HistoryPage = await this.#host.request(`/tasks/${id}/history?limit=1000&after=${after}`, init);
        for (const event of page.events) this.#host.take(event);
        after = page.next ?? null;
      }
    } catch {
      // Not to be had any more, or not now: the leader's snapshot has what they led to.
    }
    this.#waiting.delete(key);
    if (!this.#isLeading && !this.#abort.signal.aborted) {
      this.#host.take(recap);
      this.#takeAll(frames);
    }
  }

  #serve(tab: string, asked: readonly (Wanted & { told: boolean })[]): void {
    if (!this.#served.has(tab)) {
      this.#served.add(tab);
      // Granted when that tab is gone.
      void this.#lock(`${this.#name}:tab:${tab}`, async () => {
        if (this.#isLeading) this.#forget(tab);
      });
    }
    // What is told to all is not told again to one behind its back.
    this.#relay();
    const keys = new Set(asked.map(({ key }) => key));
    for (const topic of [...this.#host.topics()]) {
      if (!keys.has(topic.key) && topic.tabs.delete(tab)) this.#host.settle(topic);
    }
    this.#say(this.#status, tab);
    const frames: Frame[] = [];
    for (const wanted of asked) {
      const topic = this.#host.lend(wanted);
      topic.tabs.add(tab);
      const frame = wanted.told || !(topic.told || topic.done) ? null : recap(topic);
      if (frame) frames.push(frame);
    }
    if (frames.length) this.#say({ type: "frames", frames }, tab);
    this.#connection?.refresh();
  }

  #forget(tab: string): void {
    this.#served.delete(tab);
    for (const topic of [...this.#host.topics()]) if (topic.tabs.delete(tab)) this.#host.settle(topic);
    this.#connection?.refresh();
  }

  // Whether somebody leads.

  #ask(): void {
    this.#say({ type: "ping" });
    this.#asked = Date.now();
  }

  #watch(): void {
    clearTimeout(this.#timer);
    const now = Date.now();
    const due = this.#isLeading
      ? now + ALIVE_MS
      : this.#asked < Infinity
        ? this.#asked + ANSWER_MS + Math.random() * SPREAD_MS
        : this.#heard + 2 * ALIVE_MS;
    this.#timer = setTimeout(
      () => {
        if (this.#isLeading) this.#say(this.#status);
        else if (this.#asked < Infinity) {
          // It has the lock and sleeps.
          this.#asked = Infinity;
          this.#heard = Date.now();
          this.#queue({ steal: true });
        } else this.#ask();
        this.#watch();
      },
      Math.max(0, due - now),
    );
  }
}

/** Whether another tab stands further than this one, where somebody wants each event of a task. */
function hasMissed({ sinks, isChannel, place }: Topic, frame: Frame): boolean {
  const { epoch, last } = (frame as ControlFrame).data ?? {};
  return sinks.size > 0 && !isChannel && place.last !== null && place.epoch === epoch && (last ?? 0) > place.last;
}

/** All that is known of a topic, for a tab that comes later. */
function recap(topic: Topic): Frame | null {
  const { id, isChannel, error } = topic;
  return error
    ? ({
        event_type: "rejected",
        ...(isChannel ? { channel: id } : { task_id: id }),
        data: { ...error.error, final: topic.done },
      } as ControlFrame)
    : topic.recap();
}
