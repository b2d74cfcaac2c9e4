/** Between a watch and React: shows views at most so often, and never the last one late for good. */

/** Something that has a present view and tells when it is another. */
export interface Source<V> {
  readonly view: V;
  subscribe(listener: () => void): () => void;
}

/** Where no frame comes, as in a hidden tab, a change is shown after this time. */
const HIDDEN_MS = 250;

/** What `useSyncExternalStore` reads. It watches its source only while somebody listens. */
export class Store<V> {
  readonly #source: Source<V>;
  readonly #throttleMs: number | null;
  readonly #urgent: (view: V, shown: V) => boolean;
  #shown: V;
  #shownAt = -Infinity;
  #cancel: (() => void) | null = null;

  /**
   * Without `throttleMs` changes are shown in the next frame, with 0 at once. What `urgent` says of a view, by
   * what is shown before it, lets it pass without a wait.
   */
  constructor(source: Source<V>, throttleMs: number | null, urgent: (view: V, shown: V) => boolean) {
    this.#source = source;
    this.#throttleMs = throttleMs;
    this.#urgent = urgent;
    this.#shown = source.view;
  }

  readonly get = (): V => this.#shown;

  readonly subscribe = (changed: () => void): (() => void) => {
    const arrived = () => this.#arrived(changed);
    const leave = this.#source.subscribe(arrived);
    // What happened between the render and now.
    this.#show(changed);
    return () => {
      leave();
      this.#cancel?.();
      this.#cancel = null;
    };
  };

  #arrived(changed: () => void): void {
    const { view } = this.#source;
    if (view === this.#shown) return;
    if (this.#throttleMs === 0 || this.#urgent(view, this.#shown)) {
      this.#show(changed);
    } else if (this.#cancel === null) {
      const show = () => this.#show(changed);
      const rest = this.#throttleMs === null ? null : this.#shownAt + this.#throttleMs - performance.now();
      this.#cancel = rest === null ? nextFrame(show) : later(show, Math.max(0, rest));
    }
  }

  #show(changed: () => void): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#shownAt = performance.now();
    const { view } = this.#source;
    if (view === this.#shown) return;
    this.#shown = view;
    changed();
  }
}

function later(callback: () => void, ms: number): () => void {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}

const waiting = new Set<() => void>();
let frame = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Calls back with the next frame: all that waits for it in one turn, which React renders at once. */
function nextFrame(callback: () => void): () => void {
  if (waiting.size === 0) {
    if (typeof requestAnimationFrame === "function") frame = requestAnimationFrame(flush);
    timer = setTimeout(flush, HIDDEN_MS);
  }
  waiting.add(callback);
  return () => {
    waiting.delete(callback);
    if (waiting.size === 0) stop();
  };
}

function flush(): void {
  const due = [...waiting];
  waiting.clear();
  stop();
  for (const callback of due) callback();
}

function stop(): void {
  if (typeof cancelAnimationFrame === "function") cancelAnimationFrame(frame);
  clearTimeout(timer);
}
