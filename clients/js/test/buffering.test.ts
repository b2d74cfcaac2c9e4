import { describe, expect, it } from "vitest";
import { BufferingDetector } from "../src/transports/buffering.js";

/** Ms that the server's clock is ahead of ours. */
const AHEAD = 5_000_000;

class Stream {
  now = 1_000_000;
  isHeldBack = false;
  readonly detector = new BufferingDetector(this.now);

  constructor() {
    this.detector.verdict(this.now + AHEAD);
  }

  /** Time in which the program is awake. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 1000) {
      this.now += Math.min(1000, left);
      this.detector.beat(this.now);
    }
  }

  /** Frames that were made so many ms ago, and arrive together. */
  burst(...ages: readonly number[]): void {
    for (const age of ages) if (this.detector.frame(this.now - age + AHEAD, this.now)) this.isHeldBack = true;
  }
}

describe("a proxy that holds frames back", () => {
  it("is known by two bursts", () => {
    const stream = new Stream();
    stream.pass(10_000);
    stream.burst(9000, 8000, 4000, 100);
    expect(stream.isHeldBack).toBe(false);
    stream.pass(10_000);
    stream.burst(9000, 5000, 100);
    expect(stream.isHeldBack).toBe(true);
  });

  it("is known also while nothing comes but heartbeats", () => {
    const stream = new Stream();
    for (const _ of [1, 2]) {
      stream.pass(60_000);
      stream.burst(60_000, 30_000, 0);
    }
    expect(stream.isHeldBack).toBe(true);
  });
});

describe("nothing else is taken for one", () => {
  it("a busy task, whose frames come many at a time", () => {
    const stream = new Stream();
    for (let burst = 0; burst < 100; burst++) {
      stream.pass(1000);
      stream.burst(...Array.from({ length: 50 }, (_, frame) => 1000 - frame * 20));
    }
    expect(stream.isHeldBack).toBe(false);
  });

  it("a slow client, that was busy while they came", () => {
    const stream = new Stream();
    for (let nap = 0; nap < 10; nap++) {
      stream.pass(3000);
      // Nothing ran meanwhile: neither the beat nor the reader.
      stream.now += 6000;
      stream.burst(6000, 4000, 2000, 0);
    }
    expect(stream.isHeldBack).toBe(false);
  });

  it("a wake from sleep, whichever comes first, the beat or the frames", () => {
    for (const isBeatFirst of [true, false]) {
      const stream = new Stream();
      for (let nap = 0; nap < 3; nap++) {
        stream.pass(5000);
        stream.now += 3_600_000;
        if (isBeatFirst) stream.detector.beat(stream.now);
        stream.burst(3_000_000, 1_000_000, 60_000, 0);
        stream.now += 500;
        stream.burst(50_000, 20_000, 0);
      }
      expect(stream.isHeldBack).toBe(false);
    }
  });

  it("the history that a verdict is followed by, also after a reconnect of a topic", () => {
    const stream = new Stream();
    for (let resync = 0; resync < 3; resync++) {
      stream.pass(5000);
      stream.detector.verdict(stream.now + AHEAD);
      stream.burst(600_000, 300_000, 100_000, 10, 0);
    }
    expect(stream.isHeldBack).toBe(false);
  });

  it("a line that stalls once, and then brings frames as they are made", () => {
    const stream = new Stream();
    for (let stall = 0; stall < 5; stall++) {
      stream.pass(8000);
      stream.burst(8000, 5000, 2000, 10);
      for (let frame = 0; frame < 3; frame++) {
        stream.pass(1000);
        stream.burst(20);
      }
    }
    expect(stream.isHeldBack).toBe(false);
  });

  it("a frame without a time", () => {
    const stream = new Stream();
    stream.pass(5000);
    for (let frame = 0; frame < 10; frame++) stream.burst(NaN, 5000);
    expect(stream.isHeldBack).toBe(false);
  });
});
