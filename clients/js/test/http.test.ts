import { describe, expect, it } from "vitest";
import { lossOf, retryAfter } from "../src/transports/http.js";
import { divide, queryOf, STREAM_QUERY, STREAM_TOPICS } from "../src/transports/streams.js";
import type { Wanted } from "../src/frames.js";

const answer = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers });

describe("an answer that is no success", () => {
  it("says in seconds, or by a date, how long to wait", () => {
    expect(retryAfter(answer(503, "", { "retry-after": "7" }))).toBe(7000);
    const soon = retryAfter(answer(503, "", { "retry-after": new Date(Date.now() + 60_000).toUTCString() }))!;
    expect(soon).toBeGreaterThan(55_000);
    expect(soon).toBeLessThanOrEqual(60_000);
    for (const value of ["", "soon", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"]) {
      expect(retryAfter(answer(503, "", value ? { "retry-after": value } : {}))).toBeUndefined();
    }
  });

  it("tells the server's error, with the time that it names", async () => {
    const error = { code: "RATE_LIMITED", message: "too many", is_retryable: true, retry_after_ms: 250 };
    expect(await lossOf(answer(429, JSON.stringify({ error })))).toEqual({ error, after: 250 });
  });

  it("of somebody in between may go away by itself", async () => {
    for (const body of ["<html>", "", "null", "[]", '{"error":"text"}']) {
      expect(await lossOf(answer(403, body))).toEqual({
        error: { code: "HTTP_403", message: "the answer was 403", is_retryable: true },
      });
    }
  });
});

describe("topics of event streams", () => {
  const topic = (id: string, changes: Partial<Wanted> = {}): Wanted => ({
    key: id,
    watch: 1,
    id,
    isChannel: false,
    after: null,
    replay: "all",
    ...changes,
  });

  it("are named with their positions in the order of the URL, tasks before channels", () => {
    const topics = [topic("jobs", { isChannel: true, after: "c:3" }), topic("a"), topic("b", { after: "e:7" })];
    expect(queryOf(topics)).toBe("ids=a,b&channels=jobs&after=-,e:7,c:3&replay=all");
    expect(queryOf([topic("b", { after: "e:7" })])).toBe("ids=b&after=e:7");
    expect(queryOf([topic("jobs", { isChannel: true, replay: "none" })])).toBe("channels=jobs&replay=none");
  });

  it("that begin in different ways are in different streams, until they have a position", () => {
    const topics = [
      topic("a"),
      topic("jobs", { isChannel: true, replay: "none" }),
      topic("x", { isChannel: true, replay: "none", after: "c:1" }),
    ];
    expect(divide(topics).map((stream) => stream.map(({ id }) => id))).toEqual([["a", "x"], ["jobs"]]);
  });

  it("are as many as the server and a URL take", () => {
    const short = Array.from({ length: 130 }, (_, n) => topic(`t${n}`));
    expect(divide(short).map(({ length }) => length)).toEqual([STREAM_TOPICS, STREAM_TOPICS, 2]);
    const long = Array.from({ length: 130 }, (_, n) =>
      topic(`${n}`.padEnd(128, "x"), { after: `${"e".repeat(32)}:1234567890123456789` }),
    );
    const streams = divide(long);
    expect(streams.flat()).toEqual(long);
    for (const stream of streams) expect(queryOf(stream).length).toBeLessThan(STREAM_QUERY + 100);
  });
});
