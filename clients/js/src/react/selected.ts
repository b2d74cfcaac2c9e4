import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import type { Store } from "./store.js";

/**
 * What `select` makes of the store's view. A selection that `isEqual` to the one before is that one, so that
 * nothing is rendered for it, also where `select` is a new function with each render.
 */
export function useSelected<V, T>(
  store: Store<V> | null,
  initial: V,
  select: (view: V) => T,
  isEqual: (a: T, b: T) => boolean,
): T {
  const kept = useRef<{ value: T } | null>(null);
  const [get, getInitial] = useMemo(() => {
    const picker = () => {
      let last: { view: V; value: T } | null = null;
      return (view: V): T => {
        if (last !== null && last.view === view) return last.value;
        const before = last ?? kept.current;
        const value = select(view);
        last = { view, value: before !== null && isEqual(before.value, value) ? before.value : value };
        return last.value;
      };
    };
    const [pick, pickInitial] = [picker(), picker()];
    return [() => pick(store === null ? initial : store.get()), () => pickInitial(initial)];
  }, [store, initial, select, isEqual]);
  const value = useSyncExternalStore(store === null ? nothing : store.subscribe, get, getInitial);
  useEffect(() => {
    kept.current = { value };
  });
  return value;
}

/** A selection of everything. */
export function whole<V>(view: V): V {
  return view;
}

function nothing(): () => void {
  return () => {};
}
