/**
 * Whether something between here and the server holds frames back and lets them go in bursts.
 *
 * A burst is what arrives at once. It speaks of a buffer if its frames were made over a longer time, all of them
 * after the stream began, and this program was awake to take each as it came. Two such bursts with no frame between
 * them that came in time are the proof: a network that stalls once is none.
 */

/** Frames that arrive within this time of each other are one burst, in ms. */
export const BURST_MS = 200;
/** A burst whose frames were made over more than this was held back, in ms. */
export const SPREAD_MS = 2_000;
/** A program that was not awake for so long takes no evidence, nor for as long afterwards, in ms. */
export const NAP_MS = 1_500;
/** A frame alone that is no later than this, against the fastest one, came in time, in ms. */
export const TIMELY_MS = 1_000;

export class BufferingDetector {
  /** Made before this, by the server's clock: what a verdict is followed by is history. */
  #begun = -Infinity;
  #awake: number;
  #asleepUntil = -Infinity;
  /** The least of arrival minus timestamp: how far the clocks are apart, and the way. */
  #fastest = Infinity;
  #burst = { first: 0, last: 0, oldest: 0, frames: 0, counted: false };
  #strikes = 0;

  constructor(now: number) {
    this.#awake = now;
  }

  /** To be called at least once a second, by which naps are known. */
  beat(now: number): void {
    if (now - this.#awake > NAP_MS) this.#asleepUntil = now + NAP_MS;
    this.#awake = now;
  }

  /** The server has said where a topic stands: events from before that are history. */
  verdict(made: number): void {
    if (made > this.#begun) this.#begun = made;
  }

  /** A frame has arrived that was made at `made`; whether it proves that there is a buffer. */
  frame(made: number, now: number): boolean {
    this.beat(now);
    if (!(made > this.#begun) || now < this.#asleepUntil) return false;
    this.#fastest = Math.min(this.#fastest, now - made);
    const burst = this.#burst;
    if (!burst.frames || now - burst.last > BURST_MS) {
      this.#settle();
      this.#burst = { first: now, last: now, oldest: made, frames: 1, counted: false };
      return false;
    }
    burst.last = now;
    burst.frames++;
    // Slow arrival is the line's, not a buffer's: only what comes at once counts.
    const spread = made - burst.oldest - (now - burst.first);
    if (burst.counted || spread <= SPREAD_MS) return false;
    burst.counted = true;
    return ++this.#strikes >= 2;
  }

  /** A frame that came alone and in time says that nothing is held back. */
  #settle(): void {
    const { frames, first, oldest } = this.#burst;
    if (frames === 1 && first - oldest - this.#fastest <= TIMELY_MS) this.#strikes = 0;
  }
}
