/** `GET /sse` read by `fetch`, which can send a header. */

import type { Wanted } from "../frames.js";
import { SseParser } from "./sse-parser.js";
import { divide, openStreams, queryOf, refused, type Stream } from "./streams.js";
import type { Env, Opener } from "./transport.js";

export const fetchSse: Opener = (env, wanted, wire) =>
  openStreams(wanted, wire, divide, (stream) => run(env, stream, stream.topics));

async function run(env: Env, stream: Stream, topics: readonly Wanted[]): Promise<void> {
  const { signal } = stream.abort;
  const headers = { accept: "text/event-stream", ...(await env.headers()) };
  if (signal.aborted) return;
  const response = await fetch(`${env.url}/sse?${queryOf(topics)}`, { headers, signal, cache: "no-store" });
  // Nothing is left, though nobody here knows of the end: the whole is asked for.
  if (response.status === 204)
    return run(
      env,
      stream,
      topics.map((topic) => ({ ...topic, after: null })),
    );
  if (!response.ok) return refused(stream, response);
  // A page of somebody in between is no stream.
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return stream.ended();
  let retry = 0;
  const parser = new SseParser({ message: (data) => stream.text(data), retry: (ms) => (retry = ms) });
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const body = response.body!.getReader();
  try {
    for (let piece = await body.read(); !piece.done; piece = await body.read()) {
      parser.push(decoder.decode(piece.value, { stream: true }));
    }
  } finally {
    body.cancel().catch(() => {});
    stream.ended({ after: retry });
  }
}
