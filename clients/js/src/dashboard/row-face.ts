import { Bar, type Tone } from "../element/bar.js";
import { make, setAttribute, setHidden, setText } from "../element/dom.js";
import { eta, percent, strings } from "../element/strings.js";
import type { RowFace } from "./list.js";
import type { Row } from "./row.js";

export const ROW_HEIGHT = 58;

const TONES: Partial<Record<Row["state"], Tone>> = {
  completed: "good",
  failed: "bad",
  paused: "odd",
  stalled: "odd",
  cancelled: "odd",
  abandoned: "odd",
};

/** A task in the list: its name and kind, a bar, and what it does now. */
export class TaskFace implements RowFace<Row> {
  readonly root = make("div", { class: "task" });
  readonly #name = make("span", { class: "name" });
  readonly #kind = make("span", { class: "kind" });
  readonly #percent = make("span", { class: "percent" });
  readonly #state = make("span", { class: "state" });
  readonly #message = make("span", { class: "message" });
  readonly #eta = make("span");
  readonly #bar = new Bar("bar");

  constructor() {
    this.#bar.root.setAttribute("aria-hidden", "true");
    this.root.append(
      make("div", { class: "line" }, this.#name, this.#kind, this.#percent),
      this.#bar.root,
      make("div", { class: "line quiet" }, this.#state, this.#message, this.#eta),
    );
  }

  draw(row: Row): void {
    const tone = TONES[row.state] ?? "";
    setText(this.#name, row.name || row.id);
    setHidden(this.#kind, row.kind === null);
    setText(this.#kind, row.kind ?? "");
    setText(this.#percent, percent(row.progress));
    setText(this.#state, strings.states[row.state] ?? row.state);
    setAttribute(this.#state, "class", `state ${tone}`);
    setText(this.#message, row.message ?? row.stage ?? "");
    setText(this.#eta, row.state === "running" ? eta(row.etaMs) : "");
    this.#bar.set(row.progress, tone);
  }
}
