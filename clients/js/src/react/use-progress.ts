import { useContext, useEffect, useInsertionEffect, useMemo, useRef } from "react";
import { isActive, type Outcome, outcomeOf } from "../element/outcome.js";
import type { ProgressClient, ProgressError, Replay, Snapshot, TaskHandle, TaskView } from "../types.js";
import { ClientContext, required } from "./context.js";
import { shallowEqual } from "./equal.js";
import { useSelected, whole } from "./selected.js";
import { Store } from "./store.js";

export interface UseProgressOptions {
  /** In place of the provider's. */
  client?: ProgressClient | undefined;
  /** The least time between two renders in ms (default: a frame; 0: every change). Ends and errors do not wait. */
  throttleMs?: number | undefined;
  /** What a first watch begins with (default `all`): less has no log lines from before. */
  replay?: Replay | undefined;
  /** Once, when the task has completed, or had before. Always the newest function is called. */
  onComplete?: ((result: unknown, snapshot: Snapshot) => void) | undefined;
  /** Once, when it has ended in any other way, or cannot be watched. */
  onError?: ((error: ProgressError, snapshot: Snapshot | null) => void) | undefined;
}

export interface SelectOptions<T> {
  /** What the component needs of the view; it is rendered only when that is another. */
  select: (view: TaskView) => T;
  /** When two selections are the same (default: the same value, or plain objects or arrays of the same values). */
  isEqual?: ((a: T, b: T) => boolean) | undefined;
}

/**
 * Watches a task as long as the component is mounted; with null it watches nothing.
 *
 * @example
 * const { snapshot } = useProgress(taskId);
 * const percent = useProgress(taskId, { select: (view) => Math.floor(view.snapshot?.progress ?? 0) });
 */
export function useProgress<T>(taskId: string | null, options: UseProgressOptions & SelectOptions<T>): T;
export function useProgress(taskId: string | null, options?: UseProgressOptions): TaskView;
export function useProgress<T>(
  taskId: string | null,
  options: UseProgressOptions & Partial<SelectOptions<T>> = {},
): T | TaskView {
  const { throttleMs, replay, select, isEqual } = options;
  const provided = useContext(ClientContext);
  const client = taskId === null ? null : required(options.client ?? provided);
  const initial = useMemo(() => initialView(taskId ?? ""), [taskId]);
  const handle = useMemo(
    () => (client === null ? null : client.task(taskId!, replay && { replay })),
    [client, taskId, replay],
  );
  const store = useMemo(
    () => (handle === null ? null : new Store<TaskView>(handle, throttleMs ?? null, hasEnded)),
    [handle, throttleMs],
  );
  useOutcome(client, handle, options);
  return useSelected<TaskView, T | TaskView>(store, initial, select ?? whole, (isEqual ?? shallowSame) as typeof shallowSame);
}

/** Calls back once for each task that the component watches; of what it watched before it forgets. */
function useOutcome(client: ProgressClient | null, handle: TaskHandle | null, options: UseProgressOptions): void {
  const newest = useRef(options);
  useInsertionEffect(() => {
    newest.current = options;
  });
  const told = useRef<{ client: ProgressClient; taskId: string } | null>(null);
  useEffect(() => {
    if (client === null || handle === null) return;
    const { taskId } = handle;
    const look = () => {
      if (told.current?.client === client && told.current.taskId === taskId) return;
      const outcome = outcomeOf(handle.view);
      if (outcome === null) return;
      told.current = { client, taskId };
      tell(outcome, newest.current);
    };
    const leave = handle.subscribe(look);
    look();
    return leave;
  }, [client, handle]);
}

function tell(outcome: Outcome, { onComplete, onError }: UseProgressOptions): void {
  if (outcome.completed) onComplete?.(outcome.result, outcome.snapshot);
  else onError?.(outcome.error, outcome.snapshot);
}

/** What is shown at once: the first state, an end, an error. */
function hasEnded(view: TaskView, shown: TaskView): boolean {
  if (view.error !== shown.error || view.snapshot === null || shown.snapshot === null) return true;
  return view.snapshot.state !== shown.snapshot.state && !isActive(view.snapshot.state);
}

function initialView(taskId: string): TaskView {
  return { taskId, connection: taskId === "" ? "idle" : "connecting", snapshot: null, logs: [], error: null };
}

/** Views are the same object until they change; only what was selected of them is compared more closely. */
function shallowSame(a: unknown, b: unknown): boolean {
  return shallowEqual(a, b);
}
