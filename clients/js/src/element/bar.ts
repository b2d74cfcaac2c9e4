import { make } from "./dom.js";

/** The colour of a bar: as it should be, done, not as it should be, or wrong. */
export type Tone = "" | "good" | "odd" | "bad" | "waiting";

/** A bar that moves by a transform alone, which no layout follows. */
export class Bar {
  readonly root: HTMLElement;
  readonly #fill: HTMLElement;
  #shown = -1;
  #tone: Tone = "";

  constructor(part: string) {
    this.#fill = make("div", { class: "fill", part: `${part}-fill` });
    this.root = make("div", { class: "track", part }, this.#fill);
  }

  /** Shows so many percent; what cannot be told apart on a screen is no change. */
  set(percent: number, tone: Tone): void {
    const shown = Math.round(Math.min(100, Math.max(0, percent)) * 10);
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.#fill.style.transform = `scaleX(${shown / 1000})`;
    }
    if (tone !== this.#tone) {
      this.#tone = tone;
      this.root.className = `track ${tone}`;
    }
  }
}
