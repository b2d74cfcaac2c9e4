import { useContext, useMemo } from "react";
import { isActive } from "../element/outcome.js";
import type { ProgressClient, Replay, TaskView } from "../types.js";
import { ClientContext, required } from "./context.js";
import { useSelected, whole } from "./selected.js";
import { type Source, Store } from "./store.js";

export interface UseTasksOptions {
  /** In place of the provider's. */
  client?: ProgressClient | undefined;
  /** The least time between two renders in ms (default: a frame; 0: every change). Ends do not wait. */
  throttleMs?: number | undefined;
  /** What a first watch begins with (default `all`): less has no log lines from before. */
  replay?: Replay | undefined;
}

export type Views = ReadonlyMap<string, TaskView>;

const NONE: Views = new Map();

/**
 * Watches many tasks over one connection: their views by id, in the order that was asked for. The same ids in a
 * new array are the same watch.
 *
 * @example
 * const views = useTasks(batch.ids);
 * const done = [...views.values()].filter((view) => view.snapshot?.state === "completed").length;
 */
export function useTasks(ids: readonly string[], options: UseTasksOptions = {}): Views {
  const { throttleMs, replay } = options;
  const provided = useContext(ClientContext);
  const client = ids.length === 0 ? null : required(options.client ?? provided);
  // No id has a blank in it.
  const key = ids.join(" ");
  const store = useMemo(() => {
    if (client === null) return null;
    const group = client.tasks(key.split(" "), replay && { replay });
    const source: Source<Views> = {
      get view() {
        return group.views;
      },
      subscribe: (listener) => group.subscribe(listener),
    };
    return new Store(source, throttleMs ?? null, moreEnded);
  }, [client, key, replay, throttleMs]);
  return useSelected(store, NONE, whole, Object.is);
}

function moreEnded(views: Views, shown: Views): boolean {
  return ended(views) !== ended(shown);
}

function ended(views: Views): number {
  let count = 0;
  for (const { snapshot, error } of views.values()) {
    if (error !== null || (snapshot !== null && !isActive(snapshot.state))) count += 1;
  }
  return count;
}
