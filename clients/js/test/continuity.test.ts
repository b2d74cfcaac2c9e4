import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { enter, positionOf, step, type Place } from "../src/continuity.js";

const at = (epoch: string | null, last: number | null): Place => ({ epoch, last });

describe("a reader of a log", () => {
  it("drops what it has, takes what continues, and knows a hole", () => {
    const place = at("e", 5);
    expect(step(place, "e", 5, 5)).toBe("repeat");
    expect(step(place, "e", 4, 6)).toBe("take");
    expect(step(place, "e", 7, 9)).toBe("take");
    expect(step(place, "e", 11, 11)).toBe("hole");
    expect(place).toEqual(at("e", 9));
  });

  it("begins wherever the first event does", () => {
    const place = at("e", null);
    expect(step(place, "e", 40, 57)).toBe("take");
    expect(place).toEqual(at("e", 57));
  });

  it("takes nothing of a log that it was not told of", () => {
    expect(step(at("e", 5), "f", 6, 6)).toBe("hole");
    expect(step(at(null, null), "f", 1, 1)).toBe("hole");
  });

  it("forgets where it stood in another log, and keeps it in the same", () => {
    const place = at("e", 5);
    expect(enter(place, "e")).toBe(true);
    expect(positionOf(place)).toBe("e:5");
    expect(enter(place, "f")).toBe(false);
    expect(positionOf(place)).toBeNull();
  });

  it("takes each number once, in order, whatever is repeated and however it is conflated", () => {
    const log = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(log, fc.array(fc.nat(29)), (lengths, repeats) => {
        let seq = 0;
        const frames = lengths.map((length) => ({ from: seq + 1, seq: (seq += length) }));
        const sent = frames.flatMap((frame, index) => [
          frame,
          ...(repeats.includes(index) ? frames.slice(0, index) : []),
        ]);
        const place = at("e", 0);
        const taken = sent.filter(({ from, seq }) => step(place, "e", from, seq) === "take");
        expect(taken).toEqual(frames);
      }),
    );
  });
});
