/** `GET /ws`: all topics on one socket, by commands. */

import { isEvent, keyOf, type ControlFrame, type Frame, type Wanted } from "../frames.js";
import type { Loss } from "../machine.js";
import type { ErrorObject } from "../types.js";
import type { Opener } from "./transport.js";

/** Topics of one command: the server's limit. */
const BATCH = 100;
/** Commands at once, and the ms for each further one: the server allows 200 messages, and then 100 a minute. */
const BURST = 100;
const PACE_MS = 600;

/** Close codes that mean something beside that the connection is lost. */
const CODES: Readonly<Record<number, string>> = {
  4013: "CREDENTIAL_EXPIRED",
  4400: "BAD_REQUEST",
  4401: "UNAUTHENTICATED",
  4403: "FORBIDDEN",
  4404: "NOT_FOUND",
  4409: "LIMIT_EXCEEDED",
};

/** The first of those after which coming back is of no use. */
const FINAL = 4400;

export const websocket: Opener = (env, wanted, wire) => {
  let socket: WebSocket | undefined;
  let isClosed = false;
  let refused: ErrorObject | undefined;
  let topics: readonly Wanted[] | undefined;
  const sent = new Map<string, Wanted>();
  let tokens = BURST;
  let filled = Date.now();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const send = (command: object): void => socket!.send(JSON.stringify(command));

  /** Sends what has changed, in as few commands as there can be, and no faster than they are taken. */
  const flush = (): void => {
    timer = undefined;
    if (isClosed || !topics) return;
    const now = Date.now();
    tokens = Math.min(BURST, tokens + (now - filled) / PACE_MS);
    filled = now;
    const watches = new Map(topics.map((topic) => [topic.key, topic.watch]));
    const gone = [...sent.values()].filter(({ key, watch }) => watches.get(key) !== watch);
    const come = topics.filter(({ key, watch }) => sent.get(key)?.watch !== watch);
    for (const [type, list] of [
      ["unsubscribe", gone],
      ["subscribe", come],
    ] as const) {
      for (let at = 0; at < list.length; at += BATCH) {
        if (tokens < 1) {
          timer = setTimeout(flush, PACE_MS);
          return;
        }
        tokens--;
        const batch = list.slice(at, at + BATCH);
        for (const topic of batch) type === "subscribe" ? sent.set(topic.key, topic) : sent.delete(topic.key);
        send({ type, topics: batch.map(type === "subscribe" ? name : nameOnly) });
      }
    }
  };

  const close = (loss: Loss = {}): void => {
    if (isClosed) return;
    stop();
    wire.closed(loss);
  };

  const stop = (): void => {
    isClosed = true;
    clearTimeout(timer);
    socket?.close();
  };

  const take = (frame: Frame): void => {
    const { event_type, data } = frame as ControlFrame;
    const key = keyOf(frame);
    if (event_type === "connected" && key === null) {
      wire.open(data?.heartbeat_ms);
      topics = wanted();
      return flush();
    }
    if (event_type === "heartbeat") send({ type: "pong" });
    if (event_type === "rejected" && key === null) refused = data as ErrorObject;
    // What has ended or was refused is watched no more, and may be asked for anew.
    const isRefused = event_type === "rejected" && !data?.code?.endsWith("_SUBSCRIBED");
    if (isRefused && key !== null && data?.code === "UNAUTHENTICATED") renew().catch(() => {});
    if (key !== null && (isRefused || (isEvent(frame) && event_type === "complete"))) sent.delete(key);
    wire.frame(frame);
  };

  /** Says who asks anew, for what is subscribed to from now on. */
  const renew = async (): Promise<void> => {
    const token = await env.options.getToken?.();
    if (token && !isClosed) send({ type: "auth", token });
  };

  const open = async (): Promise<void> => {
    const token = await env.options.getToken?.();
    if (isClosed) return;
    // A token of letters that a subprotocol may not have is said first instead.
    const fits = !token || /^[\w!#$%&'*+.^`|~-]+$/.test(token);
    const protocols = ["progress.v1.json", ...(token && fits ? [`bearer.${token}`] : [])];
    socket = new WebSocket(env.url.replace(/^http/, "ws") + "/ws", protocols);
    // What it has to say comes by `close` too.
    socket.onerror = () => {};
    socket.onopen = () => {
      if (!fits) send({ type: "auth", token });
    };
    socket.onmessage = ({ data }) => {
      if (isClosed) return;
      try {
        take(JSON.parse(data as string) as Frame);
      } catch {
        close();
      }
    };
    socket.onclose = ({ code, reason }) => {
      const name = CODES[code];
      // The reason is the code of the error that was told before, in `rejected`.
      const told = refused?.code === reason ? refused : { code: reason || name!, message: reason || name! };
      close({
        ...(name ? { error: { ...told!, is_retryable: code < FINAL } } : {}),
        ...(refused?.retry_after_ms ? { after: refused.retry_after_ms } : {}),
      });
    };
  };
  open().catch(() => close());

  return {
    watch(next) {
      if (!topics) return;
      topics = next;
      // Topics that are let go together are so one after the other, each by a timer of its own.
      timer ??= setTimeout(flush);
    },
    ping() {
      if (socket?.readyState === 1) send({ type: "ping" });
      return true;
    },
    close: stop,
  };
};

const nameOnly = ({ id, isChannel }: Wanted): object => (isChannel ? { channel: id } : { task_id: id });

const name = (topic: Wanted): object => ({
  ...nameOnly(topic),
  ...(topic.after === null ? { replay: topic.replay } : { after: topic.after }),
});
