import { createProgressClient } from "../index.js";
import type { ProgressClient, TaskHandle, TaskView } from "../types.js";
import { type Lease, lease } from "./clients.js";
import { type Cancelling, Face, type Wishes } from "./face.js";
import { forgetDraw, requestDraw, tick, type Drawable } from "./frame.js";
import { isActive, outcomeOf } from "./outcome.js";
import { adoptStyle } from "./style.js";
import { observe, unobserve } from "./visibility.js";

/** Log lines that are shown where `log` does not say how many. */
const LOG_LINES = 5;

const NOTHING: Cancelling = { asked: false, refused: null };

/** On a server there are no elements; the module can be imported there all the same. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/**
 * Shows a task: `<progress-view task="video-42" url="/api" stages cancel></progress-view>`.
 *
 * | Attribute | |
 * | --- | --- |
 * | `task` | the id of the task; without one it waits |
 * | `url` | where the routes are mounted (default `/`); elements of one url share a client |
 * | `log` | how many lines of the log are shown (default 5, 0 for none) |
 * | `stages` | shows a bar for each stage |
 * | `cancel` | shows a button that asks the task to stop |
 * | `label` | the bar's name (default: the task's) |
 *
 * The property `client` gives it a client of the page's, with a token for example. It dispatches
 * `progress-complete` (`detail: {result, snapshot}`) and `progress-error` (`detail: {error, snapshot}`), which
 * bubble, once for each task that it is given.
 */
export class ProgressView extends Base implements Drawable {
  static readonly observedAttributes: readonly string[] = ["task", "url", "log", "stages", "cancel", "label"];

  #given: ProgressClient | null = null;
  #lease: Lease | null = null;
  #handle: TaskHandle | null = null;
  #leave: (() => void) | null = null;
  #view: TaskView = unknown("");
  /** When the snapshot came, by the clock of this machine, which is only used for differences. */
  #heardAt = 0;
  #told = false;
  #cancelling = NOTHING;
  #face: Face | null = null;
  #visible = true;
  #stale = false;
  #drawn: TaskView | null = null;

  /** The client that it watches with; null for that of its `url`. */
  get client(): ProgressClient | null {
    return this.#given ?? this.#lease?.client ?? null;
  }

  set client(client: ProgressClient | null) {
    if (client === this.#given) return;
    this.#given = client;
    this.#watch();
  }

  /** What it shows. */
  get view(): TaskView {
    return this.#view;
  }

  connectedCallback(): void {
    this.#upgrade();
    if (this.#face === null) {
      const root = this.attachShadow({ mode: "open" });
      adoptStyle(root);
      this.#face = new Face(() => void this.cancel());
      root.append(this.#face.root);
    }
    observe(this, (visible) => this.#seen(visible));
    this.#watch();
  }

  disconnectedCallback(): void {
    unobserve(this);
    this.#visible = true;
    this.#unwatch();
    forgetDraw(this);
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after || !this.isConnected) return;
    if (name === "task" || name === "url") this.#watch();
    else this.#changed();
  }

  /** Asks the task to stop, as its button does. What is said against it is shown, not thrown. */
  async cancel(reason?: string): Promise<void> {
    const handle = this.#handle;
    if (handle === null || this.#cancelling.asked) return;
    this.#setCancelling({ asked: true, refused: null });
    try {
      await handle.cancel(reason);
    } catch (error) {
      if (handle !== this.#handle) return;
      const { status, message } = error as { status?: number; message: string };
      this.#setCancelling({ asked: false, refused: { message, final: status === 401 || status === 403 } });
    }
  }

  draw(now: number): void {
    if (this.#face === null) return;
    this.#drawn = this.#view;
    const again = this.#face.draw(this.#view, this.#heardAt, this.#wishes(), this.#cancelling, now);
    const { snapshot } = this.#view;
    tick(this, this.#visible && (again || (this.#handle !== null && snapshot !== null && isActive(snapshot.state))));
  }

  #wishes(): Wishes {
    const log = Number.parseInt(this.getAttribute("log") ?? "", 10);
    return {
      label: this.getAttribute("label"),
      logLines: Number.isNaN(log) ? LOG_LINES : Math.max(0, log),
      stages: this.hasAttribute("stages"),
      cancel: this.hasAttribute("cancel"),
    };
  }

  #watch(): void {
    this.#unwatch();
    const task = this.getAttribute("task") ?? "";
    if (!this.isConnected) return;
    if (this.#view.taskId !== task) {
      this.#told = false;
      this.#cancelling = NOTHING;
    }
    this.#view = unknown(task);
    if (task !== "") {
      if (this.#given === null) this.#lease = lease({ url: this.getAttribute("url") ?? "/" }, createProgressClient);
      this.#handle = (this.#given ?? this.#lease!.client).task(task);
      this.#leave = this.#handle.subscribe((view) => this.#take(view));
      this.#take(this.#handle.view);
    }
    this.#changed();
  }

  #unwatch(): void {
    this.#leave?.();
    this.#leave = null;
    this.#handle = null;
    this.#lease?.release();
    this.#lease = null;
  }

  #take(view: TaskView): void {
    if (view.snapshot !== this.#view.snapshot) this.#heardAt = Date.now();
    this.#view = view;
    this.#changed();
    if (this.#told) return;
    const outcome = outcomeOf(view);
    if (outcome === null) return;
    this.#told = true;
    const { completed, ...detail } = outcome;
    const event = new CustomEvent(completed ? "progress-complete" : "progress-error", { detail, bubbles: true, composed: true });
    // Whoever makes an element and then listens to it hears of an end that was known before.
    queueMicrotask(() => this.dispatchEvent(event));
  }

  #setCancelling(cancelling: Cancelling): void {
    this.#cancelling = cancelling;
    this.#changed();
  }

  /** Off the screen it is drawn when its state is another, for who reads the page without looking, and else not. */
  #changed(): void {
    if (this.#visible || stateOf(this.#drawn) !== stateOf(this.#view)) requestDraw(this);
    else this.#stale = true;
  }

  #seen(visible: boolean): void {
    this.#visible = visible;
    if (!visible) {
      if (stateOf(this.#drawn) === stateOf(this.#view)) forgetDraw(this);
      this.#stale = true;
    } else if (this.#stale) {
      this.#stale = false;
      requestDraw(this);
    }
  }

  /** A property that was set before the element was defined hides the accessor. */
  #upgrade(): void {
    if (!Object.hasOwn(this, "client")) return;
    const client = (this as { client: ProgressClient | null }).client;
    delete (this as { client?: unknown }).client;
    this.#given = client;
  }
}

function stateOf(view: TaskView | null): string {
  return view === null ? "" : `${view.taskId} ${view.snapshot?.state ?? view.error?.code}`;
}

function unknown(taskId: string): TaskView {
  return { taskId, connection: "idle", snapshot: null, logs: [], error: null };
}
