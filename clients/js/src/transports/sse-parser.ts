/** Event streams, by the standard: whatever the pieces are that they come in. */

/** What a stream says: messages, and how long to wait before coming back, in ms. */
export interface SseSink {
  message(data: string, id: string, type: string): void;
  retry(ms: number): void;
}

/** Longest line and longest message that are held, in characters: a stream beyond that is none of ours. */
export const SSE_LIMIT = 16 * 1024 * 1024;

/** Reads text, already decoded, of an event stream. Throws a `RangeError` past {@link SSE_LIMIT}. */
export class SseParser {
  readonly #sink: SseSink;
  #line = "";
  #data: string | null = null;
  #id = "";
  #type = "";
  #isFirst = true;
  /** Whether a line has ended with CR, so that an LF right behind it is part of that end. */
  #wasReturn = false;

  constructor(sink: SseSink) {
    this.#sink = sink;
  }

  push(text: string): void {
    if (this.#isFirst && text) {
      this.#isFirst = false;
      if (text[0] === "\uFEFF") text = text.slice(1);
    }
    if (this.#wasReturn && text) {
      this.#wasReturn = false;
      if (text[0] === "\n") text = text.slice(1);
    }
    let from = 0;
    const ends = /\r\n|\r|\n/g;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      const line = this.#line + text.slice(from, end.index);
      this.#line = "";
      from = ends.lastIndex;
      this.#wasReturn = end[0] === "\r" && from === text.length;
      this.#read(line);
    }
    this.#line += text.slice(from);
    if (this.#line.length + (this.#data?.length ?? 0) > SSE_LIMIT)
      throw new RangeError("the event stream's message is too long");
  }

  #read(line: string): void {
    if (!line) {
      const data = this.#data;
      const type = this.#type || "message";
      this.#data = null;
      this.#type = "";
      if (data !== null) this.#sink.message(data, this.#id, type);
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.#sink.retry(Number(value));
  }
}
