import type { ChannelEvent, ChannelView, ConnectionState, ProgressClient, ProgressError, ProgressEvent, Snapshot } from "../types.js";
import type { TaskStore } from "./store.js";

/** How it stands with the list: on its way, there, refused for good, or failed for now. */
export type FeedState =
  | { readonly kind: "loading" | "ready" }
  | { readonly kind: "refused" | "failed"; readonly error: ProgressError };

/** The channel of all tasks' states, starts and ends. */
const CHANNEL = "_tasks";

const PAGE = 500;

/** Tasks that are listed at most: the newest. */
export const ROWS = 10_000;

/** Ended tasks that are asked for at first, and those that are kept, and for how long. */
const ENDED_AT_FIRST = 100;
const ENDED = 500;
const ENDED_MS = 15 * 60_000;

/** How long the first list waits for the channel, so that one list is enough. */
const CHANNEL_WAIT_MS = 1_500;

/** How often everything is listed anew: where the channel tells changes, and where it cannot. */
const RELIST_MS = 5 * 60_000;
const POLL_MS = 5_000;

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;

/** Questions for single tasks: at a time, and those that wait; the next list makes up for more. */
const ASKING = 4;
const ASKED = 1_000;

const SWEEP_MS = 30_000;

interface Page {
  readonly tasks: readonly Snapshot[];
  readonly next?: string;
}

/** Keeps a {@link TaskStore} true: listens to the channel, and lists whenever that may have missed something. */
export class Feed {
  readonly #client: ProgressClient;
  readonly #store: TaskStore;
  readonly #changed: () => void;
  readonly #stop = new AbortController();
  readonly #queue = new Set<string>();
  #asking = 0;
  #state: FeedState = { kind: "loading" };
  #channelState: ConnectionState = "idle";
  #channelError = false;
  #last: { epoch: string; seq: number } | null = null;
  #listing = false;
  #listAgain = false;
  #listed = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** The selected task is never swept away. */
  selected: string | null = null;

  constructor(client: ProgressClient, store: TaskStore, changed: () => void) {
    this.#client = client;
    this.#store = store;
    this.#changed = changed;
  }

  get state(): FeedState {
    return this.#state;
  }

  /** Whether changes are only seen by asking again and again. */
  get polls(): boolean {
    return this.#channelError;
  }

  start(): void {
    const channel = this.#client.channel(CHANNEL, { replay: "none", onEvent: (event) => this.#event(event) });
    const leave = channel.subscribe((view) => this.#channel(view));
    this.#timer = setTimeout(() => this.#list(), CHANNEL_WAIT_MS);
    const sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#stop.signal.addEventListener("abort", () => {
      leave();
      clearTimeout(this.#timer);
      clearInterval(sweeper);
    });
    this.#channel(channel.view);
  }

  stop(): void {
    this.#stop.abort();
  }

  #event({ channel_epoch: epoch, channel_seq: seq, channel_from: from = seq, event }: ChannelEvent): void {
    const last = this.#last;
    this.#last = { epoch, seq };
    if (last !== null && (epoch !== last.epoch || from > last.seq + 1)) this.#list();
    if (event.task_id === undefined || event.epoch === undefined || event.seq === undefined) return;
    const partial = this.#store.event(event as ProgressEvent, Date.now());
    if (partial !== null) this.#ask(partial.id);
    this.#changed();
  }

  #channel({ connection, error }: ChannelView): void {
    const before = this.#channelState;
    this.#channelState = connection;
    const polled = this.#channelError;
    this.#channelError = error !== null || connection === "polling";
    if (connection === "live" && before !== "live") this.#list();
    else if (this.#channelError && !polled) this.#list();
    this.#changed();
  }

  /** Lists the active tasks, and those that ended lately at first; asked for meanwhile, it is done once more. */
  #list(): void {
    if (this.#stop.signal.aborted) return;
    if (this.#listing) {
      this.#listAgain = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#listing = true;
    void this.#listAll().then(
      () => this.#done(null),
      (error: ProgressError) => this.#done(error),
    );
  }

  async #listAll(): Promise<void> {
    this.#store.beginList();
    let cursor: string | undefined;
    let count = 0;
    do {
      const page = await this.#get<Page>(`/tasks?state=active&limit=${PAGE}${cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
      this.#store.page(page.tasks, Date.now());
      this.#changed();
      count += page.tasks.length;
      cursor = page.next;
    } while (cursor !== undefined && count < ROWS);
    // A list that was cut short says nothing of what is not in it.
    if (cursor !== undefined) this.#store.dropList();
    else for (const id of this.#store.endList()) this.#ask(id);
    if (this.#listed) return;
    const ended = await this.#get<Page>(`/tasks?state=completed,failed,cancelled,abandoned&limit=${ENDED_AT_FIRST}`);
    // They come newest first, and the oldest are swept first.
    for (const snapshot of [...ended.tasks].reverse()) this.#store.snapshot(snapshot, Date.now());
    this.#listed = true;
  }

  #done(error: ProgressError | null): void {
    if (this.#stop.signal.aborted) return;
    this.#listing = false;
    if (error === null) {
      this.#failures = 0;
      this.#state = { kind: "ready" };
      this.#later(this.#channelState === "live" ? RELIST_MS : POLL_MS);
    } else {
      this.#store.dropList();
      const refused = error.status === 401 || error.status === 403;
      this.#state = { kind: refused ? "refused" : "failed", error };
      if (refused) this.stop();
      else this.#later(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures++) * (0.5 + Math.random() / 2));
    }
    this.#changed();
    if (this.#listAgain && error === null) {
      this.#listAgain = false;
      this.#list();
    }
  }

  #later(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#list(), ms);
  }

  /** Asks what a task is, or has become. */
  #ask(id: string): void {
    if (this.#queue.size < ASKED) this.#queue.add(id);
    this.#askNext();
  }

  #askNext(): void {
    for (const id of this.#queue) {
      if (this.#asking === ASKING || this.#stop.signal.aborted) return;
      this.#queue.delete(id);
      this.#asking += 1;
      void this.#get<Snapshot>(`/tasks/${encodeURIComponent(id)}`)
        .then(
          (snapshot) => this.#store.snapshot(snapshot, Date.now()),
          (error: ProgressError) => {
            if (error.status === 404) this.#store.remove(id);
          },
        )
        .then(() => {
          this.#asking -= 1;
          this.#changed();
          this.#askNext();
        });
    }
  }

  #sweep(): void {
    this.#store.sweep(Date.now(), { ended: ENDED, endedMs: ENDED_MS, rows: ROWS }, this.selected);
    this.#changed();
  }

  #get<T>(path: string): Promise<T> {
    return this.#client.request<T>(path, { signal: this.#stop.signal });
  }
}
