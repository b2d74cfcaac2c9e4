/** The connection of a page: the machine, with real links, timers and the browser's events. */

import { type ControlFrame, type Frame, type Wanted } from "./frames.js";
import { Machine, OFFLINE_MS, type Loss } from "./machine.js";
import { websocket } from "./transports/websocket.js";
import type { Env, Link, Opener, Wire } from "./transports/transport.js";
import type { ConnectionState, ErrorObject, TransportName } from "./types.js";

/** Whom a connection serves. */
export interface Watcher {
  /** What is to be watched, from where on. */
  wanted(): readonly Wanted[];
  /** Takes a frame; false where something is missing before it that nobody declared. */
  take(frame: Frame): boolean;
  /** How it stands is another. `lost` is true where the link's verdicts count no more. */
  status(connection: ConnectionState, transport: TransportName | null, lost: boolean): void;
  /** Nothing more is tried. */
  fail(error: ErrorObject): void;
}

/** The same as {@link Connection}, by another tab. */
export interface Source {
  /** What is to be watched has changed. */
  refresh(): void;
  close(): void;
}

/** What each transport is made by, and the global that it needs. The lower ones are loaded when it comes to them. */
const TRANSPORTS: Readonly<Record<TransportName, readonly [() => Opener | Promise<Opener>, string]>> = {
  websocket: [() => websocket, "WebSocket"],
  "fetch-sse": [async () => (await import("./transports/fetch-sse.js")).fetchSse, "fetch"],
  "event-source": [async () => (await import("./transports/event-source.js")).eventSource, "EventSource"],
  poll: [async () => (await import("./transports/poll.js")).poll, "fetch"],
};

export class Connection implements Source {
  readonly #env: Env;
  readonly #watcher: Watcher;
  readonly #machine: Machine;
  readonly #rungs: readonly TransportName[];
  readonly #links = new Map<number, Link>();
  readonly #undo: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer is to ring: later means that the machine has slept. */
  #rings = Infinity;
  #wasLive = false;

  constructor(env: Env, watcher: Watcher) {
    const { transports = Object.keys(TRANSPORTS) as TransportName[], backoff, maxAttempts = Infinity } = env.options;
    this.#env = env;
    this.#watcher = watcher;
    this.#rungs = transports.filter((name) => TRANSPORTS[name][1] in globalThis);
    this.#machine = new Machine(
      {
        rungs: this.#rungs.length,
        min: backoff?.min ?? 500,
        max: backoff?.max ?? 30_000,
        maxAttempts,
        random: Math.random,
      },
      {
        open: (id, rung) => this.#open(id, rung),
        close: (id) => this.#close(id),
        ping: (id) => this.#links.get(id)?.ping() ?? false,
        fail: (error) => watcher.fail(error),
      },
    );
    this.#listen();
  }

  refresh(): void {
    const wanted = this.#watcher.wanted();
    if (!wanted.length) {
      this.#machine.stop();
      this.#wasLive = false;
    } else if (!this.#rungs.length) {
      this.#watcher.fail({ code: "NO_TRANSPORT", message: "none of the transports can be had here" });
    } else {
      for (const link of this.#links.values()) link.watch(wanted);
      this.#machine.start(Date.now());
    }
    this.#turn();
  }

  close(): void {
    this.#machine.stop();
    clearTimeout(this.#timer);
    for (const undo of this.#undo) undo();
  }

  #open(id: number, rung: number): void {
    const machine = this.#machine;
    const isCurrent = (): boolean => machine.current?.id === id;
    const wire: Wire = {
      open: (heartbeat) => {
        if (heartbeat) machine.heartbeat = heartbeat;
        machine.opened(id, Date.now());
        this.#turn();
      },
      frame: (frame) => {
        machine.heard(id, Date.now());
        // Of a link whose place another has taken nothing counts.
        if (!isCurrent()) return;
        const { event_type, data } = frame as ControlFrame;
        if (event_type === "draining") {
          machine.draining(id, Date.now(), data?.reconnect_after_ms ?? 0);
          this.#turn();
        }
        if (this.#watcher.take(frame)) return;
        this.#close(id);
        machine.lost(id, Date.now());
        this.#turn();
      },
      buffered: () => {
        const streams = ["fetch-sse", "event-source"].map((name) => this.#rungs.indexOf(name as TransportName));
        const rungs = streams.filter((rung) => rung >= 0);
        machine.buffered(id, Date.now(), rungs);
        this.#turn();
      },
      closed: (loss?: Loss) => {
        this.#links.delete(id);
        machine.lost(id, Date.now(), loss);
        this.#turn();
      },
    };
    const isWanted = (): boolean => isCurrent() || machine.next?.id === id;
    const begin = (opener: Opener): void => {
      if (!isWanted()) return;
      const link = opener(this.#env, () => this.#watcher.wanted(), wire);
      // It may have found at once that it is of no use.
      if (isWanted()) this.#links.set(id, link);
      else link.close();
    };
    const opener = TRANSPORTS[this.#rungs[rung]!][0]();
    if (typeof opener === "function") begin(opener);
    else opener.then(begin).catch(() => wire.closed());
  }

  #close(id: number): void {
    this.#links.get(id)?.close();
    this.#links.delete(id);
  }

  /** After each word to the machine: sets its timer, and tells how it stands. */
  #turn(): void {
    const { current, due } = this.#machine;
    const now = Date.now();
    clearTimeout(this.#timer);
    if (due < Infinity) {
      // Never much later than a heartbeat, to notice that the machine has slept.
      this.#rings = Math.min(due, now + this.#machine.heartbeat);
      this.#timer = setTimeout(() => this.#ring(), Math.max(0, this.#rings - now));
    }
    const lost = this.#wasLive && !current;
    if (current) this.#wasLive = true;
    this.#watcher.status(this.#state(), current ? this.#rungs[current.rung]! : null, lost);
  }

  #state(): ConnectionState {
    const { isOn, current } = this.#machine;
    if (!isOn) return "idle";
    if (!current) return this.#wasLive ? "stale" : "connecting";
    return this.#rungs[current.rung] === "poll" ? "polling" : "live";
  }

  #ring(): void {
    const now = Date.now();
    if (now - this.#rings > this.#machine.heartbeat) this.#machine.check(now);
    this.#machine.tick(now);
    this.#turn();
  }

  #listen(): void {
    const machine = this.#machine;
    const on = (target: unknown, type: string, call: (now: number) => void): void => {
      const listener = (): void => {
        call(Date.now());
        this.#turn();
      };
      (target as EventTarget | undefined)?.addEventListener?.(type, listener);
      this.#undo.push(() => (target as EventTarget | undefined)?.removeEventListener?.(type, listener));
    };
    on(globalThis, "online", (now) => machine.online(now));
    on(globalThis, "offline", (now) => machine.check(now, OFFLINE_MS));
    on(globalThis.document, "visibilitychange", (now) => {
      if (document.visibilityState === "visible") machine.visible(now);
    });
    // Its speed changes all the time; a network of another kind is another.
    const network = (globalThis.navigator as { connection?: { readonly type?: string } } | undefined)?.connection;
    let type = network?.type;
    on(network, "change", (now) => {
      if (network?.type === type) return;
      type = network?.type;
      machine.online(now);
    });
  }
}
