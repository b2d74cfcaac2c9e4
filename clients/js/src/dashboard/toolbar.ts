import { make, setHidden, setText } from "../element/dom.js";
import { strings } from "../element/strings.js";
import type { TaskState } from "../types.js";
import { DEFAULT_QUERY, type Query, type Sort, SORTS } from "./query.js";
import type { Row } from "./row.js";
import { words } from "./words.js";

const STATES: readonly TaskState[] = ["queued", "running", "paused", "stalled", "completed", "failed", "cancelled", "abandoned"];

/** Kinds and labels that are offered, of those that tasks have. */
const OFFERED = 200;

/** Search, filters and order. Native controls, which keyboards and screen readers know. */
export class Toolbar {
  readonly root: HTMLElement;
  readonly #search = make("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false" });
  readonly #state = make("select", { id: "state" });
  readonly #kind = make("select", { id: "kind" });
  readonly #label = make("input", { type: "text", id: "label", list: "labels", autocomplete: "off", spellcheck: "false" });
  readonly #labels = make("datalist", { id: "labels" });
  readonly #sort = make("select", { id: "sort" });
  readonly #shown = make("span", { class: "quiet shown", role: "status" });
  readonly #clear = make("button", { type: "button", class: "plain" }, words.clear);
  #query: Query = DEFAULT_QUERY;
  #kinds = "";
  #labelled = "";

  constructor(changed: (query: Query) => void) {
    const change = () => {
      this.#query = {
        state: this.#state.value,
        kind: this.#kind.value,
        label: this.#label.value,
        search: this.#search.value,
        sort: this.#sort.value as Sort,
      };
      this.#drawClear();
      changed(this.#query);
    };
    this.#search.placeholder = words.searchHint;
    this.#label.placeholder = words.labelHint;
    fill(this.#state, [
      ...Object.entries(words.groups),
      ...STATES.map((state): [string, string] => [state, strings.states[state]]),
    ]);
    fill(this.#kind, [["", words.anyKind]]);
    fill(this.#sort, SORTS.map((sort): [string, string] => [sort, words.sorts[sort]]));
    for (const input of [this.#search, this.#label]) input.addEventListener("input", change);
    for (const select of [this.#state, this.#kind, this.#sort]) select.addEventListener("change", change);
    this.#clear.addEventListener("click", () => {
      this.query = { ...DEFAULT_QUERY, sort: this.#query.sort };
      changed(this.#query);
      this.focus();
    });
    this.root = make(
      "form",
      { class: "toolbar", role: "search" },
      field(words.search, this.#search, "wide"),
      field(words.label, this.#label),
      this.#labels,
      field(words.state, this.#state),
      field(words.kind, this.#kind),
      field(words.sort, this.#sort),
      make("div", { class: "found" }, this.#shown, this.#clear),
    );
    this.root.addEventListener("submit", (event) => event.preventDefault());
  }

  set query(query: Query) {
    this.#query = query;
    this.#search.value = query.search;
    if (!Array.from(this.#kind.options).some((option) => option.value === query.kind)) {
      this.#kind.append(new Option(query.kind, query.kind));
    }
    this.#state.value = query.state;
    if (this.#state.value !== query.state) this.#state.value = DEFAULT_QUERY.state;
    this.#kind.value = query.kind;
    this.#label.value = query.label;
    this.#sort.value = query.sort;
    this.#drawClear();
  }

  focus(): void {
    this.#search.focus();
    this.#search.select();
  }

  /** Says how many are shown of how many. */
  found(shown: number, all: number): void {
    setText(this.#shown, words.shown(shown, all));
  }

  /** Offers the kinds and labels that tasks have. */
  offer(rows: Iterable<Row>): void {
    const kinds = new Set<string>();
    const labels = new Set<string>();
    if (this.#query.kind !== "") kinds.add(this.#query.kind);
    for (const row of rows) {
      if (row.kind !== null && kinds.size < OFFERED) kinds.add(row.kind);
      for (const [name, value] of Object.entries(row.labels)) if (labels.size < OFFERED) labels.add(`${name}:${value}`);
    }
    const kindsNow = [...kinds].sort();
    if (kindsNow.join("\n") !== this.#kinds) {
      this.#kinds = kindsNow.join("\n");
      const chosen = this.#kind.value;
      fill(this.#kind, [["", words.anyKind], ...kindsNow.map((kind): [string, string] => [kind, kind])]);
      this.#kind.value = chosen;
    }
    const labelsNow = [...labels].sort();
    if (labelsNow.join("\n") !== this.#labelled) {
      this.#labelled = labelsNow.join("\n");
      this.#labels.replaceChildren(...labelsNow.map((label) => new Option(label, label)));
    }
  }

  #drawClear(): void {
    const { sort: _, ...filters } = this.#query;
    const usual: Record<string, string> = { ...DEFAULT_QUERY };
    setHidden(this.#clear, Object.entries(filters).every(([name, value]) => usual[name] === value));
  }
}

function fill(select: HTMLSelectElement, options: readonly (readonly [string, string])[]): void {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
}

function field(label: string, control: HTMLElement, className = ""): HTMLElement {
  return make("label", { class: `field ${className}` }, make("span", {}, label), control);
}
