/** Draws at most once a frame, whatever happened in between: one callback for all elements of the page. */

export interface Drawable {
  /** Brings the page up to date; `now` is `Date.now()`. */
  draw(now: number): void;
}

/** What a frame may cost before the rest waits for the next: half of one at 60 Hz. */
const BUDGET_MS = 8;

/** Frames that draw are this far apart: nobody reads faster, and half of what a frame costs is not the drawing. */
const PACE_MS = 50;

const TICK_MS = 1_000;

const dirty = new Set<Drawable>();
const ticking = new Set<Drawable>();
let frame = 0;
let pause: ReturnType<typeof setTimeout> | undefined;
let drawnAt = -Infinity;
let ticker: ReturnType<typeof setInterval> | undefined;

/** Has `draw` called once, soon; in the next frame where it is `urgent`. In a hidden tab that is when it is shown again. */
export function requestDraw(drawable: Drawable, urgent = false): void {
  dirty.add(drawable);
  const rest = urgent ? 0 : Math.min(PACE_MS, drawnAt + PACE_MS - performance.now());
  if (rest > 0) pause ??= setTimeout(nextFrame, rest);
  else nextFrame();
}

function nextFrame(): void {
  clearTimeout(pause);
  pause = undefined;
  if (frame === 0 && dirty.size > 0) frame = requestAnimationFrame(flush);
}

/** Forgets what was requested. */
export function forgetDraw(drawable: Drawable): void {
  dirty.delete(drawable);
  tick(drawable, false);
}

/** Has `draw` called every second as well, for what shows a clock, or no longer. */
export function tick(drawable: Drawable, wanted: boolean): void {
  if (wanted) ticking.add(drawable);
  else ticking.delete(drawable);
  if (ticking.size > 0) {
    ticker ??= setInterval(() => {
      if (!document.hidden) for (const each of ticking) requestDraw(each);
    }, TICK_MS);
  } else {
    clearInterval(ticker);
    ticker = undefined;
  }
}

function flush(): void {
  frame = 0;
  const began = (drawnAt = performance.now());
  const now = Date.now();
  for (const each of dirty) {
    dirty.delete(each);
    try {
      each.draw(now);
    } catch (error) {
      reportError(error);
    }
    if (performance.now() - began > BUDGET_MS) break;
  }
  nextFrame();
}
