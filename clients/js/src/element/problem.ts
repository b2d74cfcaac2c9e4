import type { ErrorObject } from "../types.js";
import { make, setAttribute, setHidden, setText } from "./dom.js";
import { strings } from "./strings.js";

/** An error in words, with what may help against it. */
export class Problem {
  readonly root = make("div", { class: "problem", part: "error", hidden: "" });
  readonly #title = make("strong");
  readonly #details = make("span", { class: "quiet" });
  readonly #message = make("p");
  readonly #help = make("p", { class: "quiet" });
  readonly #solutions = make("ul");
  #drawn: ErrorObject | null = null;

  constructor() {
    this.root.append(make("p", { class: "row meta" }, this.#title, this.#details), this.#message, this.#help, this.#solutions);
  }

  /** Shows the error, or nothing for null. `mild` is one that the task goes on after. */
  draw(error: ErrorObject | null, title: string, mild: boolean): void {
    setHidden(this.root, error === null);
    if (error === null) {
      this.#drawn = null;
      return;
    }
    setText(this.#title, title);
    setAttribute(this.root, "class", mild ? "problem mild" : "problem");
    if (error === this.#drawn) return;
    this.#drawn = error;
    setText(this.#message, error.message);
    this.#details.replaceChildren(make("code", {}, error.code), detailsOf(error));
    const solutions = error.solutions ?? [];
    setHidden(this.#help, solutions.length === 0);
    setText(this.#help, strings.solutions);
    this.#solutions.replaceChildren(...solutions.map((text) => make("li", {}, text)));
  }
}

function detailsOf(error: ErrorObject): string {
  const details: string[] = [];
  if (error.retry_count !== undefined) details.push(strings.attempt(error.retry_count, error.max_retries ?? null));
  if (error.trace_id !== undefined) details.push(strings.trace(error.trace_id));
  return details.map((detail) => ` · ${detail}`).join("");
}
