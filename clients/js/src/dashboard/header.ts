import { make, setAttribute, setHidden, setText } from "../element/dom.js";
import { strings } from "../element/strings.js";
import type { ConnectionState, TaskState, TransportName } from "../types.js";
import type { Row } from "./row.js";
import { count, words } from "./words.js";

const COUNTED: readonly TaskState[] = ["running", "queued", "paused", "stalled", "failed"];

/** The page's head: how many tasks there are in which state, and how it stands with the connection. */
export class Header {
  readonly root: HTMLElement;
  readonly #counts = make("ul", { class: "counts", role: "list", hidden: "" });
  readonly #items = new Map<TaskState, { root: HTMLElement; number: HTMLElement }>();
  readonly #connection = make("span");
  readonly #light: HTMLElement;
  readonly #forget = make("button", { type: "button", class: "plain" }, words.forget);

  constructor(forget: () => void) {
    for (const state of COUNTED) {
      const number = make("b");
      const root = make("li", { class: state }, number, ` ${strings.states[state].toLowerCase()}`);
      this.#items.set(state, { root, number });
      this.#counts.append(root);
    }
    this.#light = make("p", { class: "light", role: "status" }, make("span", { class: "dot", "aria-hidden": "true" }), this.#connection);
    this.#forget.addEventListener("click", forget);
    this.root = make("header", {}, make("h1", {}, words.title), this.#counts, this.#light, this.#forget);
  }

  draw(connection: ConnectionState, transport: TransportName | null, signedIn: boolean): void {
    const by = transport !== null && connection === "live" ? ` · ${words.transports[transport]}` : "";
    setText(this.#connection, words.connections[connection] + by);
    setAttribute(this.#light, "class", `light ${connection}`);
    setHidden(this.#forget, !signedIn);
  }

  /** Says how many tasks there are in which state; null if nobody may know. */
  count(rows: Iterable<Row> | null): void {
    setHidden(this.#counts, rows === null);
    if (rows === null) return;
    const counts = new Map<TaskState, number>();
    for (const { state } of rows) counts.set(state, (counts.get(state) ?? 0) + 1);
    for (const [state, { root, number }] of this.#items) {
      const found = counts.get(state) ?? 0;
      setText(number, count(found));
      setHidden(root, found === 0 && state !== "running");
    }
  }
}
