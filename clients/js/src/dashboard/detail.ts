import { make, setAttribute, setHidden, setText } from "../element/dom.js";
import { type Drawable, requestDraw } from "../element/frame.js";
import { ProgressView } from "../element/index.js";
import { strings } from "../element/strings.js";
import type { ProgressClient, Snapshot, TaskState } from "../types.js";
import { count, words } from "./words.js";

const LOG_LINES = 100;

/** Characters of a result or of metadata that are shown. */
const CUT = 20_000;

/** All that is known of one task. */
export class Detail implements Drawable {
  readonly root: HTMLElement;
  readonly #empty: HTMLElement;
  readonly #article = make("article", { "aria-labelledby": "task-name" });
  readonly #name = make("h2", { id: "task-name", tabindex: "-1" });
  readonly #id = make("code");
  readonly #facts = make("dl", { class: "facts" });
  readonly #labels = make("ul", { class: "labels", role: "list" });
  readonly #values: Record<"result" | "metadata" | "custom", Value>;
  readonly #open: (id: string) => void;
  #element: ProgressView | null = null;
  #leave: (() => void) | null = null;
  #task: string | null = null;
  #snapshot: Snapshot | null = null;
  #drawn: Snapshot | null = null;

  constructor(close: () => void, open: (id: string) => void) {
    this.#open = open;
    const back = make("button", { type: "button", class: "plain back" }, words.back);
    back.addEventListener("click", close);
    this.#values = { result: new Value(words.result), metadata: new Value(words.metadata), custom: new Value(words.custom) };
    this.#article.append(
      back,
      this.#name,
      make("p", { class: "quiet" }, this.#id),
      this.#labels,
      this.#facts,
      ...Object.values(this.#values).map(({ root }) => root),
    );
    this.#empty = make("div", { class: "empty" }, make("p", {}, words.choose), make("p", { class: "quiet" }, words.keys));
    this.root = make("section", { class: "detail", "aria-label": words.detail }, this.#empty, this.#article);
    this.show(null, null);
  }

  get task(): string | null {
    return this.#task;
  }

  /** Shows the task, or none. */
  show(client: ProgressClient | null, task: string | null): void {
    this.#leave?.();
    this.#leave = null;
    this.#element?.remove();
    this.#element = null;
    this.#task = client === null ? null : task;
    this.#snapshot = this.#drawn = null;
    setHidden(this.#empty, this.#task !== null);
    setHidden(this.#article, this.#task === null);
    if (client === null || task === null) return;
    setText(this.#name, task);
    setText(this.#id, task);
    this.#facts.replaceChildren();
    this.#labels.replaceChildren();
    for (const value of Object.values(this.#values)) value.draw(undefined);

    const element = new ProgressView();
    element.client = client;
    for (const [name, value] of Object.entries({ task, label: words.progress, stages: "", cancel: "", log: String(LOG_LINES) })) {
      setAttribute(element, name, value);
    }
    this.#facts.after(element);
    this.#element = element;
    this.#leave = client.task(task).subscribe(({ snapshot }) => {
      this.#snapshot = snapshot;
      requestDraw(this);
    });
  }

  focus(): void {
    this.#name.focus();
  }

  draw(): void {
    const snapshot = this.#snapshot;
    const drawn = this.#drawn;
    if (snapshot === null || snapshot === drawn) return;
    this.#drawn = snapshot;
    setText(this.#name, snapshot.name || snapshot.task_id);
    if (drawn === null || drawn.labels !== snapshot.labels) {
      const labels = Object.entries(snapshot.labels).map(([name, value]) => make("li", {}, `${name}: ${value}`));
      this.#labels.replaceChildren(...labels);
    }
    if (factsOf(snapshot) !== (drawn === null ? null : factsOf(drawn))) this.#drawFacts(snapshot);
    this.#values.result.draw(snapshot.result);
    this.#values.metadata.draw(snapshot.metadata);
    this.#values.custom.draw(snapshot.custom);
  }

  #drawFacts(snapshot: Snapshot): void {
    const facts: [string, Node | string][] = [];
    if (snapshot.kind !== null) facts.push([words.facts.kind, snapshot.kind]);
    if (snapshot.started_at !== null) facts.push([words.facts.started, time(snapshot.started_at)]);
    if (snapshot.attempt > 1) facts.push([words.facts.attempt, count(snapshot.attempt)]);
    if (snapshot.parent) {
      const parent = snapshot.parent;
      const link = make("button", { type: "button", class: "plain" }, parent);
      link.addEventListener("click", () => this.#open(parent));
      facts.push([words.facts.parent, link]);
    }
    if (snapshot.children) {
      const named = (state: string) => strings.states[state as TaskState]?.toLowerCase() ?? state;
      const states = Object.entries(snapshot.children.by_state).map(([state, each]) => `${count(each)} ${named(state)}`);
      facts.push([words.facts.children, `${count(snapshot.children.total)} (${states.join(", ")})`]);
    }
    this.#facts.replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }
}

/** What the facts are made of, to see whether they are others. */
function factsOf({ kind, started_at, attempt, parent, children }: Snapshot): string {
  return JSON.stringify([kind, started_at, attempt, parent, children]);
}

function time(timestamp: string): HTMLElement {
  const date = new Date(timestamp);
  return make("time", { datetime: timestamp }, date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }));
}

/** A value as JSON, folded away until somebody wants it. */
class Value {
  readonly root: HTMLDetailsElement;
  readonly #text = make("pre", { tabindex: "0" });
  #value: unknown;

  constructor(title: string) {
    this.root = make("details", { class: "value", hidden: "" }, make("summary", {}, title), this.#text);
    this.root.addEventListener("toggle", () => this.#write());
  }

  draw(value: unknown): void {
    if (value === this.#value) return;
    this.#value = value;
    const none = value === undefined || value === null || (typeof value === "object" && Object.keys(value).length === 0);
    setHidden(this.root, none);
    this.#write();
  }

  /** A value that nobody looks at costs nothing. */
  #write(): void {
    if (!this.root.open || this.root.hidden) return;
    const json = JSON.stringify(this.#value, null, 2);
    setText(this.#text, json.length > CUT ? `${json.slice(0, CUT)}\n${words.cut}` : json);
  }
}
