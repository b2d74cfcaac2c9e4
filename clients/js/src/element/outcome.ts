import { ProgressError } from "../error.js";
import type { Snapshot, TaskState, TaskView } from "../types.js";
import { strings } from "./strings.js";

/** How it came out: the end of a task, or that it cannot be watched. */
export type Outcome =
  | { readonly completed: true; readonly result: unknown; readonly snapshot: Snapshot }
  | { readonly completed: false; readonly error: ProgressError; readonly snapshot: Snapshot | null };

const ACTIVE: ReadonlySet<TaskState> = new Set(["queued", "running", "paused", "stalled"]);

export function isActive(state: TaskState): boolean {
  return ACTIVE.has(state);
}

/** What has come of what is watched; null while it goes on. */
export function outcomeOf(view: TaskView): Outcome | null {
  const { snapshot } = view;
  if (snapshot !== null && !isActive(snapshot.state)) {
    if (snapshot.state === "completed") return { completed: true, result: snapshot.result, snapshot };
    return { completed: false, error: errorOf(snapshot), snapshot };
  }
  if (view.error !== null && view.connection === "ended") return { completed: false, error: view.error, snapshot };
  return null;
}

const errors = new WeakMap<Snapshot, ProgressError>();

/** The error of a task that has not completed, the same each time; one that ended without any gets one by its state. */
function errorOf(snapshot: Snapshot): ProgressError {
  let error = errors.get(snapshot);
  if (error === undefined) {
    error = new ProgressError(snapshot.error ?? { code: snapshot.state.toUpperCase(), message: endWords(snapshot) });
    errors.set(snapshot, error);
  }
  return error;
}

/** How a task ended, and why if that is known: `Abandoned: nobody finished it`. */
export function endWords({ state, cause }: Snapshot): string {
  return cause ? `${strings.states[state]}: ${strings.causes[cause] ?? cause}` : strings.states[state];
}
