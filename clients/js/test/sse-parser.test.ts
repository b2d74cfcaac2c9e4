import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { SSE_LIMIT, SseParser } from "../src/transports/sse-parser.js";

type Told = readonly [type: "message", data: string, id: string, name: string] | readonly ["retry", number];

function parse(pieces: readonly string[]): Told[] {
  const told: Told[] = [];
  const parser = new SseParser({
    message: (data, id, name) => told.push(["message", data, id, name]),
    retry: (ms) => told.push(["retry", ms]),
  });
  for (const piece of pieces) parser.push(piece);
  return told;
}

/** The standard's algorithm on the whole text, with no thought of speed. */
function reference(text: string): Told[] {
  const told: Told[] = [];
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\r|\n/);
  lines.pop();
  let data: string[] = [];
  let id = "";
  let name = "";
  for (const line of lines) {
    if (line === "") {
      if (data.length) told.push(["message", data.join("\n"), id, name || "message"]);
      data = [];
      name = "";
      continue;
    }
    const [, field, , value = ""] = /^([^:]*)(: ?([^]*))?$/.exec(line)!;
    if (field === "data") data.push(value);
    if (field === "event") name = value;
    if (field === "id" && !value.includes("\0")) id = value;
    if (field === "retry" && /^[0-9]+$/.test(value)) told.push(["retry", parseInt(value, 10)]);
  }
  return told;
}

describe("an event stream", () => {
  it("is read as the server writes it", () => {
    expect(parse(['retry: 1000\ndata: {"a":1}\n\nid: 1a:2\ndata: {"b":2}\n\n'])).toEqual([
      ["retry", 1000],
      ["message", '{"a":1}', "", "message"],
      ["message", '{"b":2}', "1a:2", "message"],
    ]);
  });

  it("has lines that end with CR, LF or both, also where a piece ends between them", () => {
    expect(parse(["data:a\r", "\n\r", "\ndata:b\r\r", "data:c\n\n"])).toEqual([
      ["message", "a", "", "message"],
      ["message", "b", "", "message"],
      ["message", "c", "", "message"],
    ]);
  });

  it("may begin with a byte order mark, once", () => {
    expect(parse(["\uFEFF", "data: x\n\n"])).toEqual([["message", "x", "", "message"]]);
    expect(parse(["\uFEFF\uFEFFdata: x\n\n"])).toEqual([]);
  });

  it("keeps comments, unknown fields and bad retries to itself", () => {
    expect(parse([": hello\nfoo: bar\nretry: 5s\nretry: -1\nretry:\ndata\n\n"])).toEqual([
      ["message", "", "", "message"],
    ]);
  });

  it("drops a message that breaks off", () => {
    expect(parse(["data: x\n"])).toEqual([]);
  });

  it("is given up where a message has no end", () => {
    const parser = new SseParser({ message() {}, retry() {} });
    const piece = "x".repeat(1024 * 1024);
    expect(() => {
      for (let at = 0; at <= SSE_LIMIT / piece.length; at++) parser.push(piece);
    }).toThrow(RangeError);
  });

  const text = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          "data: ",
          "data:",
          "id: 1:2",
          "event: x",
          "retry: 10",
          ":",
          ": ",
          "\r\n",
          "\n",
          "\r",
          "\n\n",
          "\uFEFF",
          "\0",
        ),
        fc.string({ maxLength: 4 }),
        fc.string({ unit: "grapheme", maxLength: 4 }),
      ),
      { maxLength: 40 },
    )
    .map((parts) => parts.join(""));

  it("means the same however it is cut, as the standard has it", () => {
    fc.assert(
      fc.property(text, fc.array(fc.nat(400)), (whole, cuts) => {
        const at = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).sort((a, b) => a - b), whole.length];
        const pieces = at.slice(1).map((end, index) => whole.slice(at[index], end));
        expect(parse(pieces)).toEqual(reference(whole));
      }),
      { numRuns: 1000 },
    );
  });

  it("means the same where its bytes are cut within a character", () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 7 }), (whole, size) => {
        const bytes = new TextEncoder().encode(whole);
        const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
        const pieces: string[] = [];
        for (let at = 0; at < bytes.length; at += size)
          pieces.push(decoder.decode(bytes.subarray(at, at + size), { stream: true }));
        expect(parse(pieces)).toEqual(reference(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)));
      }),
      { numRuns: 500 },
    );
  });
});
