import type { LogLine } from "../types.js";
import { fillRows, make, setAttribute, setHidden, setText } from "./dom.js";
import { strings } from "./strings.js";

/** How often lines may change: faster nobody reads. */
const EVERY_MS = 250;

/** Lines that follow one another sooner than this are not read out, for a screen reader would never catch up. */
const CALM_MS = 3_000;

/** The end of a task's log. */
export class Logs {
  readonly root: HTMLElement;
  readonly #title = make("p", { class: "quiet" });
  readonly #list: HTMLElement;
  readonly #rows: Row[] = [];
  #drawn: readonly LogLine[] | null = null;
  #shown = -1;
  #changedAt = 0;

  constructor() {
    this.#list = make("div", { class: "lines", part: "log", role: "log", tabindex: "0" });
    this.root = make("div", { class: "logs" }, this.#title, this.#list);
  }

  /** Shows the newest `count` lines, and nothing where there is none; false if it is too soon for that, and has to be asked again. */
  draw(logs: readonly LogLine[], count: number, lost: number, now: number): boolean {
    const none = count === 0 || logs.length === 0;
    setHidden(this.root, none);
    if (none || (logs === this.#drawn && count === this.#shown)) return true;
    const since = now - this.#changedAt;
    if (this.#drawn !== null && since >= 0 && since < EVERY_MS) return false;
    this.#changedAt = now;
    this.#drawn = logs;
    this.#shown = count;
    setText(this.#title, lost > 0 ? `${strings.log} · ${strings.lostLines(lost)}` : strings.log);
    setAttribute(this.#list, "aria-label", strings.log);
    setAttribute(this.#list, "aria-live", since < CALM_MS ? "off" : "polite");
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 24;
    fillRows(this.#list, this.#rows, logs.slice(-count), () => new Row(), (row, line) => row.draw(line));
    // Whoever scrolled up to read stays there.
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
    return true;
  }
}

class Row {
  readonly root = make("div", { class: "line" });
  readonly #time = make("time");
  readonly #level = make("span", { class: "level" });
  readonly #message = make("span");
  #drawn: LogLine | null = null;

  constructor() {
    this.root.append(this.#time, this.#level, this.#message);
  }

  draw(line: LogLine): void {
    if (line === this.#drawn) return;
    this.#drawn = line;
    setAttribute(this.root, "class", `line ${/^[A-Z]+$/.test(line.level) ? line.level : ""}`);
    setText(this.#time, clock(line.timestamp));
    setAttribute(this.#time, "datetime", line.timestamp);
    setText(this.#level, line.level);
    setText(this.#message, line.message);
  }
}

/** The time of day, here. */
function clock(timestamp: string): string {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return "";
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}
