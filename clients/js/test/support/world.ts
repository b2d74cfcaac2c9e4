/**
 * A world for clients: sockets, requests, locks and channels between tabs, all of them scripted, in fake time.
 *
 * Each tab is known by what is run in it, so that one can be closed or frozen while the others go on.
 */

import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { setMaxListeners } from "node:events";
import { vi } from "vitest";
import type { Frame } from "../../src/frames.js";
import { createProgressClient } from "../../src/index.js";
import type { ClientOptions, ProgressClient, TransportName } from "../../src/types.js";
import { ModelServer, Session } from "./model-server.js";

// What clients load when they need it is there before time stands still.
await Promise.all([
  import("../../src/connection.js"),
  import("../../src/share/tabs.js"),
  import("../../src/feed.js"),
  import("../../src/transports/fetch-sse.js"),
  import("../../src/transports/event-source.js"),
  import("../../src/transports/poll.js"),
]);

/** Ms that anything takes on its way. */
const WAY_MS = 1;

export class Tab {
  isClosed = false;
  #isFrozen = false;
  readonly #late: (() => void)[] = [];
  readonly target = new EventTarget();
  readonly page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  readonly sockets = new Set<{ cut(): void }>();
  readonly locks = new Set<() => void>();
  /** How long what it asks of locks is on its way, in ms: other tabs' words may be there before. */
  lockLag = 0;

  constructor(readonly world: World) {}

  /** Calls in this tab what happens in it, later if it is frozen, never if it is closed. */
  do(call: () => void): void {
    if (this.isClosed) return;
    if (this.#isFrozen) this.#late.push(call);
    else tabs.run(this, call);
  }

  client(options: Partial<ClientOptions> = {}): ProgressClient {
    this.world.only = this;
    return this.run(() => createProgressClient({ url: "http://server", ...options }));
  }

  /** Does something in this tab: what comes of it happens here too. */
  run<T>(call: () => T): T {
    return tabs.run(this, call);
  }

  /** Goes without a word, as by a crash: its locks are free, its sockets are cut. */
  close(): void {
    this.isClosed = true;
    for (const socket of [...this.sockets]) socket.cut();
    for (const free of [...this.locks]) free();
  }

  freeze(): void {
    this.#isFrozen = true;
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const call of this.#late.splice(0)) this.do(call);
  }

  /** An event of the window, or of the document. */
  dispatch(type: string, on: "window" | "document" = "window"): void {
    tabs.run(this, () => (on === "window" ? this.target : this.page).dispatchEvent(new Event(type)));
  }
}

const tabs = new AsyncLocalStorage<Tab>();
const isOutside = new AsyncLocalStorage<boolean>();

export class World {
  readonly server = new ModelServer();
  /** Transports that get no answer, or are refused with a status. */
  readonly blocked = new Map<TransportName, "silent" | "closed" | number>();
  /** What was opened, and by which token or URL. */
  readonly opened: { readonly transport: TransportName; readonly url: string; readonly token: string | null }[] = [];
  /** Commands that came over WebSockets. */
  readonly commands: Record<string, unknown>[] = [];
  readonly requests: {
    readonly method: string;
    readonly url: string;
    readonly token: string | null;
    readonly body: string | undefined;
  }[] = [];
  /** Decides about a token; what it gives closes the connection. */
  judge: (token: string | null) => { readonly code: number; readonly reason: string } | null = () => null;
  isSharing = true;
  /** What chance gives, in place of one number after another that only look as if. */
  luck: number | undefined;
  #chance = 1_234_567_890;
  #restore = (): void => {};
  /** The tab in which everything happens that is not said to happen in another: that of the newest client. */
  only: Tab | undefined;

  tab(): Tab {
    return new Tab(this);
  }

  /** A client in a tab of its own, which shares with nobody. */
  client(options: Partial<ClientOptions> = {}): ProgressClient {
    return this.tab().client({ share: false, ...options });
  }

  /** The tab in which this happens. */
  get here(): Tab {
    return tabs.getStore() ?? this.only!;
  }

  /** Lets time pass, with all that happens in it. */
  async pass(ms = 10): Promise<void> {
    await turn();
    await vi.advanceTimersByTimeAsync(ms);
    await turn();
  }

  install(): void {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"],
      now: 1_800_000_000_000,
    });
    const { random } = Math;
    // Not a spy: vitest keeps each that was ever made, and looks at all of them when one is taken back.
    this.#restore = () => (Math.random = random);
    Math.random = () => {
      this.#chance = (this.#chance * 48_271) % 0x7fff_ffff;
      return this.luck ?? this.#chance / 0x7fff_ffff;
    };
    const { setTimeout: once, setInterval: every } = globalThis;
    const inTab = (call: () => void): (() => void) => {
      const tab = isOutside.getStore() ? undefined : this.here;
      return tab ? () => tab.do(call) : AsyncResource.bind(call);
    };
    vi.stubGlobal("setTimeout", (call: () => void, ms?: number) => once(inTab(call), ms));
    vi.stubGlobal("setInterval", (call: () => void, ms?: number) => every(inTab(call), ms));
    vi.stubGlobal("WebSocket", webSocket(this));
    vi.stubGlobal("EventSource", eventSource(this));
    vi.stubGlobal("fetch", (url: string, init: RequestInit = {}) => answer(this, url, init));
    vi.stubGlobal("navigator", this.isSharing ? { locks: new Locks(this) } : {});
    vi.stubGlobal("BroadcastChannel", broadcastChannel(this));
    vi.stubGlobal("addEventListener", (type: string, call: () => void) =>
      this.here.target.addEventListener(type, call),
    );
    vi.stubGlobal("removeEventListener", (type: string, call: () => void) =>
      this.here.target.removeEventListener(type, call),
    );
    const world = this;
    vi.stubGlobal("document", {
      addEventListener: (type: string, call: () => void) => world.here.page.addEventListener(type, call),
      removeEventListener: (type: string, call: () => void) => world.here.page.removeEventListener(type, call),
      get visibilityState() {
        return world.here.page.visibilityState;
      },
    });
  }

  uninstall(): void {
    this.#restore();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  }

  /** How many connections of a transport were opened. */
  count(transport: TransportName): number {
    return this.opened.filter((one) => one.transport === transport).length;
  }
}

/** Something that happens in no tab, after a while. */
const later = (call: () => void, ms = WAY_MS): void =>
  void isOutside.run(true, () => setTimeout(() => isOutside.run(false, call), ms));

/** Lets promises go as far as they can without time. */
const turn = async (): Promise<void> => {
  for (let round = 0; round < 10; round++) await new Promise((resolve) => setImmediate(resolve));
};

function webSocket(world: World): unknown {
  return class FakeWebSocket {
    readyState = 0;
    onopen: (() => void) | null = null;
    onmessage: ((event: { data: string }) => void) | null = null;
    onclose: ((event: { code: number; reason: string }) => void) | null = null;
    readonly #tab = world.here;
    #session: Session | null = null;

    constructor(url: string, protocols: readonly string[]) {
      const token = protocols.find((name) => name.startsWith("bearer."))?.slice(7) ?? null;
      world.opened.push({ transport: "websocket", url, token });
      this.#tab.sockets.add(this);
      const state = world.blocked.get("websocket");
      if (state === "silent") return;
      this.#later(() => {
        if (this.readyState === 3) return;
        if (state !== undefined) return this.#ended(1006, "");
        this.readyState = 1;
        this.onopen?.();
        const refusal = world.judge(token);
        if (refusal) return this.#ended(refusal.code, refusal.reason);
        this.#session = new Session(world.server, {
          send: (frame) =>
            this.#later(() => this.readyState === 1 && this.onmessage?.({ data: JSON.stringify(frame) })),
          close: (code, reason) => this.#later(() => this.#ended(code, reason)),
        });
      });
    }

    send(text: string): void {
      const command = JSON.parse(text) as Record<string, unknown> & { topics?: readonly Record<string, string>[] };
      world.commands.push(command);
      later(() => {
        if (command.type === "ping") this.#session?.pipe.send({ event_type: "pong" });
        if (command.type !== "subscribe" && command.type !== "unsubscribe") return;
        for (const { task_id, channel, ...rest } of command.topics ?? []) {
          this.#session?.[command.type]({ id: task_id ?? channel!, isChannel: channel !== undefined, ...rest });
        }
      });
    }

    close(): void {
      this.readyState = 3;
      this.#tab.sockets.delete(this);
      this.#session?.server.sessions.delete(this.#session);
      this.#session = null;
    }

    cut(): void {
      this.close();
    }

    #ended(code: number, reason: string): void {
      if (this.readyState === 3) return;
      this.close();
      this.onclose?.({ code, reason });
    }

    #later(call: () => void): void {
      later(() => this.#tab.do(call));
    }
  };
}

/** The topics of a stream's URL, each from where it is to begin. */
function topicsOf(
  url: URL,
): { readonly id: string; readonly isChannel: boolean; readonly after: string | null; readonly replay: string }[] {
  const list = (name: string): string[] => url.searchParams.get(name)?.split(",") ?? [];
  const path = /\/sse\/progress\/(.+)$/.exec(url.pathname)?.[1];
  const topics = [
    ...(path ? [path] : list("ids")).map((id) => ({ id, isChannel: false })),
    ...list("channels").map((id) => ({ id, isChannel: true })),
  ];
  const replay = url.searchParams.get("replay") ?? "all";
  return topics.map((topic, at) => ({ ...topic, replay, after: list("after")[at]?.replace(/^-$/, "") || null }));
}

/** A stream of a URL: it ends when every task of it has. */
function stream(world: World, url: URL, write: (text: string) => void, end: () => void): Session {
  const topics = topicsOf(url);
  write("retry: 1000\n\n");
  const session: Session = new Session(world.server, {
    send(frame: Frame) {
      write(`data: ${JSON.stringify(frame)}\n\n`);
      if ((frame as { event_type?: string }).event_type !== "complete") return;
      later(
        () =>
          topics.every(({ isChannel, id }) => !isChannel && !session.cursors.has(`t${id}`)) && session.end(1000, ""),
      );
    },
    close: end,
  });
  for (const topic of topics) session.subscribe(topic);
  return session;
}

function eventSource(world: World): unknown {
  return class FakeEventSource {
    onmessage: ((event: { data: string }) => void) | null = null;
    onerror: (() => void) | null = null;
    readonly #tab = world.here;
    #session: Session | null = null;
    #isClosed = false;

    constructor(url: string) {
      world.opened.push({ transport: "event-source", url, token: new URL(url).searchParams.get("grant") });
      this.#tab.sockets.add(this);
      const state = world.blocked.get("event-source");
      if (state === "silent") return;
      this.#later(() => {
        if (state !== undefined) return this.onerror?.();
        const write = (text: string): void => {
          const data = /^data: (.*)/.exec(text)?.[1];
          if (data) this.#later(() => this.onmessage?.({ data }));
        };
        this.#session = stream(world, new URL(url), write, () => this.#later(() => this.onerror?.()));
      });
    }

    close(): void {
      this.#isClosed = true;
      this.#tab.sockets.delete(this);
      if (this.#session) world.server.sessions.delete(this.#session);
    }

    cut(): void {
      this.close();
    }

    #later(call: () => void): void {
      later(() => this.#tab.do(() => this.#isClosed || call()));
    }
  };
}

async function answer(
  world: World,
  address: string,
  { method = "GET", headers, body, signal }: RequestInit,
): Promise<Response> {
  const tab = world.here;
  const url = new URL(address);
  const given = new Headers(headers);
  const token = given.get("authorization")?.replace(/^Bearer /, "") ?? null;
  const isStream = url.pathname === "/sse";
  const transport: TransportName = isStream ? "fetch-sse" : "poll";
  if (isStream) world.opened.push({ transport, url: address, token });
  else world.requests.push({ method, url: url.pathname + url.search, token, body: body as string | undefined });
  const aborted = new Promise<never>((_, reject) => {
    signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
  });
  aborted.catch(() => {});
  const pause = (ms: number): Promise<void> =>
    Promise.race([new Promise<void>((resolve) => void setTimeout(resolve, ms)), aborted]);
  const state = world.blocked.get(transport);
  if (state === "silent") await aborted;
  await pause(WAY_MS);
  if (state === "closed") throw new TypeError("fetch failed");
  if (typeof state === "number") return new Response("<html>", { status: state });
  const refusal = world.judge(token);
  if (refusal) return json(401, { error: { code: refusal.reason, message: "", is_retryable: false } });

  if (isStream) {
    let session: Session;
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        let isOpen = true;
        let waiting = "";
        // What is written at once arrives at once.
        const write = (text: string): void => {
          if (!waiting) {
            later(() => {
              if (isOpen && !signal?.aborted) controller.enqueue(encoder.encode(waiting));
              waiting = "";
            });
          }
          waiting += text;
        };
        const end = (): void =>
          later(() => {
            if (isOpen) controller.close();
            isOpen = false;
          });
        session = stream(world, url, write, end);
        const cut = (): void => {
          if (isOpen) controller.error(new DOMException("aborted", "AbortError"));
          isOpen = false;
          world.server.sessions.delete(session);
        };
        signal?.addEventListener("abort", cut);
        tab.sockets.add({ cut });
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }

  const [, id = "", rest] = /^\/tasks\/([^/]+)(?:\/(.*))?$/.exec(url.pathname) ?? [];
  if (rest === "cancel") return json(202, {});
  const wait = 1000 * parseFloat(url.searchParams.get("wait") ?? "0");
  const known = given.get("if-none-match");
  const etag = (): string =>
    `W/"${world.server.tasks.get(id)?.epoch}:${world.server.tasks.get(id)?.folded.snapshot.seq}"`;
  for (let waited = 0; waited < wait; waited += 50) {
    const log = world.server.tasks.get(id);
    if (log && known !== etag()) break;
    await pause(50);
  }
  const log = world.server.tasks.get(id);
  if (!log) return json(404, { error: { code: "TASK_NOT_FOUND", message: "", is_retryable: false } });
  if (rest === "history") {
    const [epoch, seq] = url.searchParams.get("after")?.split(":") ?? [];
    const limit = Number(url.searchParams.get("limit") ?? 100);
    const after = epoch === log.epoch ? Number(seq) : 0;
    let last = after;
    const all = log.events.filter((event) => event.seq > after);
    const events = all.slice(0, limit).map((event) => {
      const from = last + 1;
      last = event.seq;
      return from === event.seq ? event : { ...event, from };
    });
    return json(200, { events, floor: log.floor, ...(all.length > limit ? { next: `${log.epoch}:${last}` } : {}) });
  }
  return known === etag() ? new Response(null, { status: 304 }) : json(200, log.folded.snapshot, { etag: etag() });
}

const json = (status: number, body: unknown, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });

/** Web Locks, of which only exclusive ones are used here. */
class Locks {
  constructor(readonly world: World) {}

  readonly #queues = new Map<string, { readonly grant: () => void; readonly steal: () => void }[]>();

  request(
    name: string,
    { signal, steal }: { signal?: AbortSignal; steal?: boolean },
    hold: (lock: object) => Promise<void>,
  ): Promise<void> {
    const tab = this.world.here;
    const queue = this.#queues.get(name) ?? [];
    this.#queues.set(name, queue);
    return new Promise((resolve, reject) => {
      let isGranted = false;
      const leave = (): void => {
        tab.locks.delete(leave);
        signal?.removeEventListener("abort", abort);
        const at = queue.indexOf(entry);
        if (at < 0) return;
        queue.splice(at, 1);
        if (at === 0) queue[0]?.grant();
      };
      const entry = {
        grant: () => {
          isGranted = true;
          later(() => tab.do(() => void hold({ name }).then(() => (leave(), resolve()), reject)), 0);
        },
        steal: () => {
          leave();
          tab.do(() => reject(new DOMException("stolen", "AbortError")));
        },
      };
      const abort = (): void => {
        if (isGranted) return;
        leave();
        reject(new DOMException("aborted", "AbortError"));
      };
      signal?.addEventListener("abort", abort);
      // As many tabs as there are may be waited for.
      if (signal) setMaxListeners(0, signal);
      tab.locks.add(leave);
      const arrive = (): void => {
        if (steal) {
          const holder = queue.shift();
          queue.unshift(entry);
          holder?.steal();
          entry.grant();
        } else if (queue.push(entry) === 1) entry.grant();
      };
      if (tab.lockLag) later(arrive, tab.lockLag);
      else arrive();
    });
  }
}

function broadcastChannel(world: World): unknown {
  const all = new Set<{ name: string; hear(data: unknown): void }>();
  return class FakeBroadcastChannel {
    onmessage: ((event: { data: unknown }) => void) | null = null;
    readonly #tab = world.here;

    constructor(readonly name: string) {
      all.add(this);
    }

    postMessage(message: unknown): void {
      const data = structuredClone(message);
      for (const other of all) if (other !== this && other.name === this.name) other.hear(data);
    }

    hear(data: unknown): void {
      later(() => this.#tab.do(() => all.has(this) && this.onmessage?.({ data })), 0);
    }

    close(): void {
      all.delete(this);
    }
  };
}
