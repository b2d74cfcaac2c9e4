import type { Snapshot, TaskView } from "../types.js";
import { Bar, type Tone } from "./bar.js";
import { make, setAttribute, setHidden, setText } from "./dom.js";
import { Logs } from "./logs.js";
import { endWords, isActive } from "./outcome.js";
import { Problem } from "./problem.js";
import { Stages } from "./stages.js";
import { eta, exactly, percent, strings } from "./strings.js";

/** What the attributes of an element ask for. */
export interface Wishes {
  readonly label: string | null;
  readonly logLines: number;
  readonly stages: boolean;
  readonly cancel: boolean;
}

/** How it stands with cancelling: it was asked for, or refused, for good or not. */
export interface Cancelling {
  readonly asked: boolean;
  readonly refused: { readonly message: string; readonly final: boolean } | null;
}

/** A bar is told to screen readers again after this time, and when its state changes. */
const ANNOUNCE_MS = 10_000;

/** What the element shows: made once, and changed where something is another. */
export class Face {
  readonly root: HTMLElement;
  readonly #label = make("span", { class: "label grow", part: "label", id: "label" });
  readonly #percent = make("span", { class: "percent", part: "percent", "aria-hidden": "true" });
  readonly #bar = new Bar("bar");
  readonly #state = make("span", { class: "state", part: "state" });
  readonly #message = make("span", { class: "grow", part: "message" });
  readonly #time = make("span", { part: "time" });
  readonly #connection = make("span", { part: "connection" });
  readonly #status = make("p", { class: "unseen", role: "status" });
  readonly #problem = new Problem();
  readonly #foot: HTMLElement;
  readonly #button = make("button", { type: "button", part: "cancel", "aria-describedby": "refused" });
  readonly #refused = make("span", { class: "quiet grow", id: "refused" });
  #stages: Stages | null = null;
  #logs: Logs | null = null;
  #announcedAt = -Infinity;
  #announced: string | null = null;

  constructor(onCancel: () => void) {
    const bar = this.#bar.root;
    setAttribute(bar, "role", "progressbar");
    setAttribute(bar, "aria-labelledby", "label");
    setAttribute(bar, "aria-valuemin", "0");
    setAttribute(bar, "aria-valuemax", "100");
    this.#button.addEventListener("click", onCancel);
    this.#foot = make("div", { class: "row foot" }, this.#refused, this.#button);
    this.root = make(
      "div",
      { class: "face", part: "face" },
      make("div", { class: "row" }, this.#label, this.#percent),
      bar,
      make("div", { class: "row meta quiet" }, this.#state, this.#message, this.#time, this.#connection),
      this.#status,
      this.#problem.root,
      this.#foot,
    );
  }

  /**
   * Shows the view, whose snapshot came at `heardAt`; true if it has to be drawn again soon, though nothing
   * changes.
   */
  draw(view: TaskView, heardAt: number, wishes: Wishes, cancelling: Cancelling, now: number): boolean {
    const { snapshot } = view;
    setText(this.#label, wishes.label ?? (snapshot?.name || view.taskId || strings.untitled));
    setText(this.#percent, snapshot === null ? "" : percent(snapshot.progress));
    this.#bar.set(snapshot?.progress ?? 0, toneOf(view));
    setText(this.#state, this.#stateWords(view));
    setAttribute(this.#state, "class", `state ${toneOf(view)}`);
    setText(this.#message, messageOf(snapshot));
    setText(this.#time, snapshot === null ? "" : timeWords(snapshot, now - heardAt));
    setText(this.#connection, connectionWords(view));
    setAttribute(this.#connection, "class", view.connection === "stale" ? "odd" : null);
    this.#announce(view, now);
    this.#drawProblem(view);
    this.#drawCancel(view, wishes, cancelling);
    this.#drawStages(snapshot, wishes);
    return this.#drawLogs(view, wishes, now);
  }

  #stateWords(view: TaskView): string {
    const { snapshot, error } = view;
    if (snapshot !== null) return endWords(snapshot);
    return error === null ? absent(view) : "";
  }

  #announce(view: TaskView, now: number): void {
    const { snapshot } = view;
    const state = snapshot?.state ?? view.error?.code ?? null;
    const bar = this.#bar.root;
    if (snapshot === null) {
      setAttribute(bar, "aria-valuenow", null);
      setAttribute(bar, "aria-valuetext", view.error?.message ?? absent(view));
    }
    const changed = state !== this.#announced;
    if (!changed && now - this.#announcedAt < ANNOUNCE_MS) return;
    this.#announcedAt = now;
    if (snapshot !== null) {
      const words = [percent(snapshot.progress), strings.states[snapshot.state], messageOf(snapshot), eta(snapshot.eta_ms)];
      setAttribute(bar, "aria-valuenow", String(Math.floor(snapshot.progress)));
      setAttribute(bar, "aria-valuetext", words.filter((word) => word !== "").join(", "));
    }
    // What was there at first is read by who comes to it; only what becomes of it is news.
    if (changed && this.#announced !== null && snapshot !== null) {
      setText(this.#status, `${this.#label.textContent}: ${strings.states[snapshot.state]}`);
    }
    this.#announced = state;
  }

  #drawProblem(view: TaskView): void {
    const { snapshot } = view;
    if (view.error !== null && (snapshot === null || isActive(snapshot.state))) {
      this.#problem.draw(view.error.error, strings.unwatched, false);
    } else if (snapshot === null) {
      this.#problem.draw(null, "", false);
    } else if (isActive(snapshot.state)) {
      this.#problem.draw(snapshot.last_error ?? null, strings.lastError, true);
    } else if (snapshot.state === "completed") {
      this.#problem.draw(null, "", false);
    } else {
      this.#problem.draw(snapshot.error ?? null, strings.states[snapshot.state], false);
    }
  }

  #drawCancel(view: TaskView, wishes: Wishes, { asked, refused }: Cancelling): void {
    const shown = wishes.cancel && view.snapshot !== null && isActive(view.snapshot.state);
    setHidden(this.#foot, !shown);
    if (!shown) return;
    const asking = (asked || view.snapshot?.cancel_requested === true) && refused === null;
    setText(this.#button, asking ? strings.cancelling : strings.cancel);
    this.#button.disabled = asking || refused?.final === true;
    setText(this.#refused, refused === null ? "" : refused.final ? strings.mayNotCancel(refused.message) : strings.cancelFailed(refused.message));
  }

  #drawStages(snapshot: Snapshot | null, wishes: Wishes): void {
    if (!wishes.stages) {
      this.#stages?.root.remove();
      this.#stages = null;
      return;
    }
    if (this.#stages === null) {
      this.#stages = new Stages();
      this.#status.after(this.#stages.root);
    }
    this.#stages.draw(snapshot?.stages ?? []);
  }

  #drawLogs({ logs, snapshot }: TaskView, wishes: Wishes, now: number): boolean {
    if (wishes.logLines === 0) {
      this.#logs?.root.remove();
      this.#logs = null;
      return false;
    }
    if (this.#logs === null) {
      this.#logs = new Logs();
      this.#problem.root.after(this.#logs.root);
    }
    return !this.#logs.draw(logs, wishes.logLines, snapshot?.dropped_logs ?? 0, now);
  }
}

/** Why there is nothing to show: the server has said that it knows no such task yet, or nothing so far. */
function absent({ connection }: TaskView): string {
  return connection === "live" || connection === "polling" ? strings.unknown : strings.waiting;
}

function toneOf({ snapshot, error }: TaskView): Tone {
  switch (snapshot?.state) {
    case undefined:
      return error === null ? "waiting" : "bad";
    case "completed":
      return "good";
    case "failed":
      return "bad";
    case "cancelled":
    case "abandoned":
    case "paused":
    case "stalled":
      return "odd";
    default:
      return "";
  }
}

/** What the task says of itself; without words of its own, the stage that began last. */
function messageOf(snapshot: Snapshot | null): string {
  if (snapshot === null) return "";
  if (snapshot.message) return snapshot.message;
  return snapshot.stages.find((stage) => stage.path === snapshot.stage)?.label ?? snapshot.stage ?? "";
}

/** The time left, and the time since the start, which go on for `since` ms after the snapshot while it runs. */
function timeWords({ state, elapsed_ms, eta_ms }: Snapshot, since: number): string {
  if (elapsed_ms === null || state === "queued") return "";
  if (!isActive(state)) return exactly(elapsed_ms);
  const running = state === "running" || state === "stalled";
  const elapsed = strings.elapsed(exactly(elapsed_ms + (running ? Math.max(0, since) : 0)));
  const left = state === "running" && eta_ms !== null ? eta(Math.max(0, eta_ms - since)) : "";
  return left === "" ? elapsed : `${left} · ${elapsed}`;
}

/** How current it is; of what has ended there is nothing to say, nor where an error says it. */
function connectionWords(view: TaskView): string {
  if (view.connection === "ended" || (view.snapshot !== null && !isActive(view.snapshot.state))) return "";
  return strings.connections[view.connection];
}
