/** The browser's `EventSource`, which can send no header: by a grant for each task, or as the page is known. */

import type { Wanted } from "../frames.js";
import { divide, openStreams, queryOf, refused, type Stream } from "./streams.js";
import type { Env, Opener } from "./transport.js";

export const eventSource: Opener = (env, wanted, wire) => {
  // A grant is for one task, which has a stream of its own.
  const split = (topics: readonly Wanted[]): Wanted[][] =>
    env.options.getGrant
      ? [
          ...topics.filter(({ isChannel }) => !isChannel).map((topic) => [topic]),
          ...divide(topics.filter(({ isChannel }) => isChannel)),
        ]
      : divide(topics);

  return openStreams(wanted, wire, split, async (stream) => {
    const url = await urlOf(env, stream.topics);
    const { signal } = stream.abort;
    if (signal.aborted) return;
    const source = new EventSource(url);
    signal.addEventListener("abort", () => source.close());
    source.onmessage = ({ data }) => {
      try {
        stream.text(data as string);
      } catch {
        stream.ended();
      }
    };
    // It would come back by itself, but with the old grant, and without a pause that doubles.
    source.onerror = () => {
      if (source.readyState === SHUT) why(url, stream).catch(() => stream.ended());
      else stream.ended();
    };
  });
};

/** What `EventSource` gives up for, it does not say: `fetch` is told. */
async function why(url: string, stream: Stream): Promise<void> {
  const headers = { accept: "text/event-stream" };
  const response = await fetch(url, { headers, signal: stream.abort.signal, cache: "no-store" });
  if (!response.ok) return refused(stream, response);
  response.body?.cancel().catch(() => {});
  stream.ended();
}

/** `EventSource.CLOSED`. */
const SHUT = 2;

async function urlOf({ url, options }: Env, topics: readonly Wanted[]): Promise<string> {
  const first = topics[0]!;
  if (!options.getGrant || first.isChannel) return `${url}/sse?${queryOf(topics)}`;
  const grant = await options.getGrant(first.id);
  const from = first.after === null ? `replay=${first.replay}` : `after=${first.after}`;
  return `${url}/sse/progress/${first.id}?${grant ? `grant=${encodeURIComponent(grant)}&` : ""}${from}`;
}
