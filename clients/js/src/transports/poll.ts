/**
 * Questions instead of a stream: `GET /tasks/{id}?wait=…` until the position is another, then `history`, so that no
 * event is missed. Channels cannot be polled.
 */

import { keyOf, type Frame, type Wanted } from "../frames.js";
import type { ErrorObject, ProgressEvent, Snapshot } from "../types.js";
import { lossOf } from "./http.js";
import type { Env, Opener } from "./transport.js";

/** Questions at a time: browsers have six connections to a server of HTTP/1.1. */
export const POLLERS = 4;
/** How long the server holds an answer, in seconds, where each task has a question of its own. */
export const WAIT_S = 25;
/** Of more tasks each is asked for no more often than this, in ms. */
export const EVERY_MS = 2_000;

/** An answer may take {@link WAIT_S}, and is dead after twice this, in ms. */
const HEARTBEAT_MS = 30_000;
/** How long a task is waited for that is not there, in seconds: as long as a stream would. */
const UNKNOWN_WAIT_S = 10;

interface Polled {
  readonly topic: Wanted;
  /** `epoch:seq` of the snapshot that was told last. */
  etag: string | null;
  /** Where the next page of history begins. */
  after: string | null;
  asked: number;
  /** Gives up the question that is asked just now; null while none is. */
  question: AbortController | null;
  /** Whether it was not there. */
  isMissing: boolean;
}

const NO_CHANNELS: ErrorObject = {
  code: "NOT_POLLED",
  message: "a channel can be watched only by a stream, and none gets through",
  is_retryable: true,
};

export const poll: Opener = (env, wanted, wire) => {
  const polled = new Map<string, Polled>();
  const abort = new AbortController();
  const { signal } = abort;
  const wakes = new Set<() => void>();

  /** Waits, but not beyond a change of what is watched. */
  const rest = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        wakes.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      wakes.add(done);
    });

  const next = (): Polled | undefined =>
    [...polled.values()].filter(({ question }) => !question).sort((a, b) => a.asked - b.asked)[0];

  /** One of so many that ask for one task after another. */
  const work = async (): Promise<void> => {
    while (!signal.aborted) {
      const one = next();
      const isAlone = polled.size <= POLLERS;
      const wait = one && !isAlone ? one.asked + EVERY_MS - Date.now() : 0;
      if (!one || wait > 0) {
        await rest(one ? wait : 3_600_000);
        continue;
      }
      const question = (one.question = new AbortController());
      one.asked = Date.now();
      await ask(env, one, isAlone, question.signal, tell).catch((error: unknown) => {
        if (!question.signal.aborted) throw error;
      });
      one.question = null;
    }
  };

  const tell = (frame: Frame): void => {
    if (signal.aborted) return;
    wire.open(HEARTBEAT_MS);
    wire.frame(frame);
    const { event_type } = frame as ProgressEvent;
    if (event_type === "complete" || event_type === "rejected") polled.delete(keyOf(frame)!);
  };

  const watch = (topics: readonly Wanted[]): void => {
    const watches = new Map(topics.map(({ key, watch }) => [key, watch]));
    const before = polled.size;
    for (const [key, { topic, question }] of polled) {
      if (watches.get(key) === topic.watch) continue;
      polled.delete(key);
      question?.abort();
    }
    for (const topic of topics) {
      const { key, after, isChannel, id } = topic;
      if (isChannel) queueMicrotask(() => tell({ event_type: "rejected", channel: id, data: NO_CHANNELS }));
      else if (!polled.has(key))
        polled.set(key, { topic, etag: null, after, asked: 0, question: null, isMissing: false });
    }
    // Those that had a question each, held for long, take turns with the others now.
    if (polled.size > POLLERS && before <= POLLERS) for (const { question } of polled.values()) question?.abort();
    for (const wake of [...wakes]) wake();
  };

  watch(wanted());
  for (let count = 0; count < POLLERS; count++) {
    work().catch((error: unknown) => {
      if (signal.aborted) return;
      abort.abort();
      wire.closed(error instanceof Refused ? error.loss : undefined);
    });
  }

  return {
    watch,
    ping: () => true,
    close: () => {
      abort.abort();
      for (const { question } of polled.values()) question?.abort();
    },
  };
};

/** An answer that ends the polling of all tasks, for now. */
class Refused extends Error {
  constructor(readonly loss: Awaited<ReturnType<typeof lossOf>>) {
    super(loss.error?.message);
  }
}

/** Asks for one task once, and tells what is new of it. */
async function ask(
  { url, headers }: Env,
  one: Polled,
  isAlone: boolean,
  signal: AbortSignal,
  tell: (frame: Frame) => void,
): Promise<void> {
  const { id } = one.topic;
  const path = `${url}/tasks/${id}`;
  const wait = one.isMissing ? UNKNOWN_WAIT_S : isAlone && one.etag ? WAIT_S : 0;
  const response = await fetch(wait ? `${path}?wait=${wait}s` : path, {
    headers: { ...(await headers()), ...(one.etag ? { "if-none-match": `W/"${one.etag}"` } : {}) },
    signal,
    cache: "no-store",
  });
  if (response.status === 304) return tell({ event_type: "heartbeat" });
  if (!response.ok) {
    const loss = await lossOf(response);
    const { error } = loss;
    if (error?.code === "TASK_NOT_FOUND" && !one.isMissing) {
      one.isMissing = true;
      return tell({ event_type: "subscribed", task_id: id, data: { epoch: null, resume: "unknown" } });
    }
    if (!error || error.is_retryable !== false || error.code === "UNAUTHENTICATED") throw new Refused(loss);
    return tell({ event_type: "rejected", task_id: id, data: error });
  }
  const snapshot = (await response.json()) as Snapshot;
  const { epoch, seq } = snapshot;
  const isOther = !one.after?.startsWith(`${epoch}:`);
  const resume = one.after && isOther ? "reset" : "fresh";
  tell({ event_type: "subscribed", task_id: id, data: { epoch, seq, resume, snapshot } });
  if (isOther) one.after = `${epoch}:${one.after || one.topic.replay === "all" ? 0 : Math.max(0, seq - 1)}`;
  for (let more = true; more;) {
    const page = await fetch(`${path}/history?limit=1000&after=${one.after}`, {
      headers: await headers(),
      signal,
      cache: "no-store",
    });
    if (!page.ok) throw new Refused(await lossOf(page));
    const { events, next } = (await page.json()) as { events: ProgressEvent[]; next?: string };
    for (const event of events) tell(event);
    const last = events.at(-1);
    if (last) one.after = `${last.epoch}:${last.seq}`;
    more = next !== undefined && last !== undefined;
  }
  one.etag = `${epoch}:${seq}`;
}
