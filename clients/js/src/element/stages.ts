import type { Stage } from "../types.js";
import { Bar, type Tone } from "./bar.js";
import { fillRows, make, setAttribute, setHidden, setText } from "./dom.js";
import { eta, number, percent, strings } from "./strings.js";

/** Stages that are shown at a time; of more, those that something happens in come first. */
export const STAGES_SHOWN = 200;

const MARKS: Readonly<Record<string, string>> = {
  pending: "○",
  running: "●",
  completed: "✓",
  failed: "✕",
  cancelled: "–",
  abandoned: "–",
};

const TONES: Readonly<Record<string, Tone>> = { completed: "good", failed: "bad", cancelled: "odd", abandoned: "odd" };

/** The stages of a task, each with its bar, below one another and indented by path. */
export class Stages {
  readonly root: HTMLElement;
  readonly #list = make("ul", { class: "stages", part: "stages", role: "list" });
  readonly #more = make("p", { class: "quiet" });
  readonly #rows: Row[] = [];
  #drawn: readonly Stage[] | null = null;

  constructor() {
    this.root = make("div", {}, this.#list, this.#more);
  }

  draw(stages: readonly Stage[]): void {
    if (stages === this.#drawn) return;
    this.#drawn = stages;
    setAttribute(this.#list, "aria-label", strings.stages);
    setHidden(this.#list, stages.length === 0);
    fillRows(this.#list, this.#rows, chosen(stages), () => new Row(), (row, stage) => row.draw(stage));
    const more = stages.length - STAGES_SHOWN;
    setHidden(this.#more, more <= 0);
    if (more > 0) setText(this.#more, strings.moreStages(more));
  }
}

/** Those that are shown: all, or of many the upper and the busy ones and then the others, in their order. */
export function chosen(stages: readonly Stage[]): readonly Stage[] {
  if (stages.length <= STAGES_SHOWN) return stages;
  const matters = (stage: Stage) => !stage.path.includes("/") || (stage.state !== "pending" && stage.state !== "completed");
  const first = stages.filter(matters);
  const rest = stages.filter((stage) => !matters(stage));
  const kept = new Set([...first, ...rest].slice(0, STAGES_SHOWN));
  return stages.filter((stage) => kept.has(stage));
}

class Row {
  readonly root = make("li", { class: "stage", part: "stage" });
  readonly #mark = make("span", { class: "mark", "aria-hidden": "true" });
  readonly #name = make("span");
  readonly #state = make("span", { class: "unseen" });
  readonly #note = make("span", { class: "note quiet" });
  readonly #said = make("span", { class: "said quiet" });
  readonly #head: HTMLElement;
  readonly #bar = new Bar("stage-bar");
  #drawn: Stage | null = null;
  #depth = -1;

  constructor() {
    this.#head = make("span", { class: "name" }, this.#mark, this.#name, this.#state);
    this.#bar.root.setAttribute("aria-hidden", "true");
    this.root.append(this.#head, this.#bar.root, this.#note, this.#said);
  }

  draw(stage: Stage): void {
    if (stage === this.#drawn) return;
    this.#drawn = stage;
    const depth = stage.path.split("/").length - 1;
    if (depth !== this.#depth) {
      this.#depth = depth;
      this.#head.style.paddingInlineStart = `${depth * 1.2}em`;
      setAttribute(this.root, "aria-level", String(depth + 1));
    }
    setAttribute(this.root, "class", `stage ${stage.state}`);
    setText(this.#mark, MARKS[stage.state] ?? "·");
    setText(this.#name, stage.label);
    setText(this.#state, `, ${strings.stageStates[stage.state] ?? stage.state}`);
    this.#bar.set(stage.progress, TONES[stage.state] ?? "");
    setText(this.#note, noteOf(stage));
    const said = stage.state === "running" ? (stage.message ?? "") : "";
    setHidden(this.#said, said === "");
    if (said !== "") {
      this.#said.style.paddingInlineStart = `${depth * 1.2 + 1.6}em`;
      setText(this.#said, said);
    }
  }
}

/** How far it is: what was counted, the percent, and the time left. */
function noteOf(stage: Stage): string {
  const { current, total, unit } = stage;
  const parts: string[] = [];
  // Nothing, of nobody knows how much, says nothing.
  if (typeof current === "number" && (current > 0 || typeof total === "number")) {
    const counted = typeof total === "number" ? `${number(current)}/${number(total)}` : number(current);
    parts.push(unit ? `${counted} ${unit}` : counted);
  }
  if (stage.state === "running") {
    parts.push(percent(stage.progress));
    const left = eta(stage.eta_ms ?? null);
    if (left !== "") parts.push(left);
  } else if (parts.length === 0) {
    parts.push(strings.stageStates[stage.state] ?? stage.state);
  }
  return parts.join(" · ");
}
