import { make, setAttribute } from "./dom.js";

/** The colour of a bar: as it should be, done, not as it should be, or wrong. */
export type Tone = "" | "good" | "odd" | "bad" | "waiting";

/** A bar that is told something new more often than this jumps: to glide would cost more than all else together. */
const GLIDE_MS = 300;

/** A bar that moves by a transform alone, which no layout follows. */
export class Bar {
  readonly root: HTMLElement;
  readonly #fill: HTMLElement;
  #shown = -1;
  #look = "track";
  #movedAt = Infinity;

  constructor(part: string) {
    this.#fill = make("div", { class: "fill", part: `${part}-fill` });
    this.root = make("div", { class: "track", part }, this.#fill);
  }

  /** Shows so many percent; what cannot be told apart on a screen is no change. */
  set(percent: number, tone: Tone): void {
    const shown = Math.round(Math.min(100, Math.max(0, percent)) * 10);
    const now = performance.now();
    const glides = now - this.#movedAt > GLIDE_MS;
    if (shown !== this.#shown) {
      this.#look = glides ? "track glides" : "track";
      this.#shown = shown;
      this.#movedAt = now;
      this.#fill.style.transform = `scaleX(${shown / 1000})`;
    }
    setAttribute(this.root, "class", tone === "" ? this.#look : `${this.#look} ${tone}`);
  }
}
