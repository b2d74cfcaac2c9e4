/** What both kinds of event streams have in common: as few of them as the topics fit into, and what they tell. */

import { isEvent, keyOf, timeOf, type ControlFrame, type Frame, type Wanted } from "../frames.js";
import type { Loss } from "../machine.js";
import type { ErrorObject } from "../types.js";
import { BufferingDetector } from "./buffering.js";
import { lossOf } from "./http.js";
import type { Link, Wire } from "./transport.js";

/** Topics of one stream: the server's limit. */
export const STREAM_TOPICS = 64;
/** Characters of a stream's query: servers and proxies take 8 KiB of a URL, and what is before it wants some too. */
export const STREAM_QUERY = 6_000;
/** Streams at a time: browsers have six connections to a server of HTTP/1.1, and requests want some too. */
export const STREAMS = 4;
/** For so long nothing more may come to be watched before streams are put together, in ms. */
export const CALM_MS = 1_000;
/** How often the streams are looked at, in ms: a nap of the program is known by that. */
const BEAT_MS = 1_000;

/** One event stream. */
export interface Stream {
  readonly topics: readonly Wanted[];
  /** Gives it up. */
  readonly abort: AbortController;
  /** Takes the data of a message. */
  text(data: string): void;
  /** Ends each of its topics: a refusal that is about these, and not about who asks or when. */
  reject(error: ErrorObject): void;
  /** It has ended, as it should or not. */
  ended(loss?: Loss): void;
}

/** Watches topics by streams that `run` opens, each for what `split` puts together. */
export function openStreams(
  wanted: () => readonly Wanted[],
  wire: Wire,
  split: (topics: readonly Wanted[]) => Wanted[][],
  run: (stream: Stream) => Promise<void>,
): Link {
  interface Held extends Stream {
    /** Topics that have not ended, by key: which watch of each. */
    readonly live: Map<string, number>;
    heard: number;
  }
  let streams: readonly Held[] = [];
  let isClosed = false;
  let heartbeat = 30_000;
  let changed = 0;
  const detector = new BufferingDetector(Date.now());

  const stop = (): void => {
    isClosed = true;
    clearInterval(timer);
    for (const { abort } of streams) abort.abort();
  };

  const close = (loss?: Loss): void => {
    if (isClosed) return;
    stop();
    wire.closed(loss);
  };

  const timer = setInterval(() => {
    const now = Date.now();
    detector.beat(now);
    // Of several streams one may be dead while the others speak.
    if (streams.some(({ heard }) => now - heard > 2 * heartbeat)) close({ isSilent: true });
    else if (streams.length > 1 && now - changed > CALM_MS) gather();
  }, BEAT_MS);

  const take = (stream: Held, frame: Frame): void => {
    if (isClosed || stream.abort.signal.aborted) return;
    stream.heard = Date.now();
    const { event_type, data } = frame as ControlFrame;
    if (event_type === "connected") {
      heartbeat = data?.heartbeat_ms ?? heartbeat;
      wire.open(data?.heartbeat_ms);
    }
    const key = keyOf(frame);
    if (key !== null && (event_type === "rejected" || (isEvent(frame) && event_type === "complete")))
      stream.live.delete(key);
    const made = timeOf(frame);
    if (/^(connected|subscribed|reset|gap)$/.test(event_type)) detector.verdict(made);
    else if (detector.frame(made, Date.now())) wire.buffered();
    if (!isClosed) wire.frame(frame);
  };

  const start = (topics: readonly Wanted[]): Held => {
    const abort = new AbortController();
    const stream: Held = {
      topics,
      abort,
      live: new Map(topics.map(({ key, watch }) => [key, watch])),
      heard: Date.now(),
      text: (data) => take(stream, JSON.parse(data) as Frame),
      reject(error) {
        wire.open(undefined);
        for (const { id, isChannel } of topics) {
          take(stream, { event_type: "rejected", ...(isChannel ? { channel: id } : { task_id: id }), data: error });
        }
      },
      ended(loss) {
        if (abort.signal.aborted) return;
        abort.abort();
        streams = streams.filter((other) => other !== stream);
        if (stream.live.size) close(loss);
      },
    };
    run(stream).catch(() => stream.ended());
    return stream;
  };

  const watch = (next: readonly Wanted[]): void => {
    if (isClosed) return;
    const watches = new Map(next.map(({ key, watch }) => [key, watch]));
    // A stream goes on as long as all that it still tells is wanted.
    let kept = streams.filter(({ live }) => live.size && [...live].every(([key, watch]) => watches.get(key) === watch));
    const rest = next.filter(({ key, watch }) => !kept.some(({ live }) => live.get(key) === watch));
    if (!rest.length && kept.length === streams.length) return;
    let parts = split(rest);
    if (kept.length + parts.length > STREAMS) {
      kept = [];
      parts = split(next);
    }
    if (parts.length > STREAMS) return close({ isUnfit: true });
    for (const stream of streams) if (!kept.includes(stream)) stream.abort.abort();
    streams = kept;
    changed = Date.now();
    for (const topics of parts) streams = [...streams, start(topics)];
  };

  /** Topics that came one after the other mostly fit into fewer streams, now that they have positions. */
  const gather = (): void => {
    const topics = wanted();
    if (split(topics).length >= streams.length) return;
    for (const { abort } of streams) abort.abort();
    streams = [];
    watch(topics);
  };

  watch(wanted());
  return { watch, ping: () => false, close: stop };
}

/** Tells why a stream was not opened: of its topics, or of who asks and when. */
export async function refused(stream: Stream, response: Response): Promise<void> {
  const loss = await lossOf(response);
  const isFinal = loss.error?.is_retryable === false && loss.error.code !== "UNAUTHENTICATED";
  return isFinal ? stream.reject(loss.error!) : stream.ended(loss);
}

/** Divides topics among streams: what a stream without a position begins with is one thing for all of it. */
export function divide(topics: readonly Wanted[]): Wanted[][] {
  const streams: Wanted[][] = [];
  for (const replay of ["all", "latest", "none"]) {
    let stream: Wanted[] = [];
    let length = 0;
    for (const topic of topics) {
      // A topic with a position begins there, whatever the stream's replay is.
      if ((topic.after === null ? topic.replay : "all") !== replay) continue;
      const more = topic.id.length + (topic.after ?? "-").length + 2;
      if (!stream.length || stream.length === STREAM_TOPICS || length + more > STREAM_QUERY) {
        streams.push((stream = []));
        length = 0;
      }
      stream.push(topic);
      length += more;
    }
  }
  return streams;
}

/** The query of a stream for these topics, each from where it stands. */
export function queryOf(topics: readonly Wanted[]): string {
  const tasks = topics.filter(({ isChannel }) => !isChannel);
  const channels = topics.filter(({ isChannel }) => isChannel);
  // Ids and positions have no letter that a query may not; positions are in the order of the URL.
  const fields = {
    ids: tasks.map(({ id }) => id),
    channels: channels.map(({ id }) => id),
    after: topics.some(({ after }) => after !== null) ? [...tasks, ...channels].map(({ after }) => after ?? "-") : [],
    replay: topics.every(({ after }) => after !== null) ? [] : [topics.find(({ after }) => after === null)!.replay],
  };
  return Object.entries(fields)
    .filter(([, values]) => values.length)
    .map(([name, values]) => `${name}=${values.join(",")}`)
    .join("&");
}
