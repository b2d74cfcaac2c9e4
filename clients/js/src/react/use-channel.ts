import { useContext, useEffect, useInsertionEffect, useMemo, useRef } from "react";
import type { ChannelEvent, ChannelOptions, ChannelView, ProgressClient } from "../types.js";
import { ClientContext, required } from "./context.js";
import { useSelected, whole } from "./selected.js";
import { Store } from "./store.js";

export interface UseChannelOptions {
  /** In place of the provider's. */
  client?: ProgressClient | undefined;
  /** The least time between two renders in ms (default: a frame; 0: every change). */
  throttleMs?: number | undefined;
  /** What a first watch begins with (default `none`: what happens from now on). */
  replay?: ChannelOptions["replay"] | undefined;
  /** Every event, in order, also those that no render shows. Always the newest function is called. */
  onEvent?: ((event: ChannelEvent) => void) | undefined;
}

/**
 * Watches a channel as long as the component is mounted; with null it watches nothing.
 *
 * @example
 * const { events } = useChannel("jobs", { replay: "all" });
 */
export function useChannel(name: string | null, options: UseChannelOptions = {}): ChannelView {
  const { throttleMs, replay, onEvent } = options;
  const provided = useContext(ClientContext);
  const client = name === null ? null : required(options.client ?? provided);
  const initial = useMemo(() => initialView(name ?? ""), [name]);
  const handle = useMemo(
    () => (client === null ? null : client.channel(name!, replay === undefined ? {} : { replay })),
    [client, name, replay],
  );
  const store = useMemo(
    () => (handle === null ? null : new Store<ChannelView>(handle, throttleMs ?? null, otherError)),
    [handle, throttleMs],
  );

  const newest = useRef(onEvent);
  useInsertionEffect(() => {
    newest.current = onEvent;
  });
  const listens = onEvent !== undefined;
  useEffect(() => {
    if (handle === null || !listens) return;
    const events = handle[Symbol.asyncIterator]();
    let left = false;
    void (async () => {
      for (let next = await events.next(); !next.done && !left; next = await events.next()) {
        const event = next.value;
        // A callback that throws is the page's affair, and ends nothing here.
        queueMicrotask(() => {
          if (!left) newest.current?.(event);
        });
      }
    })().catch(() => {
      // Why a channel cannot be watched is in its view.
    });
    return () => {
      left = true;
      void events.return?.();
    };
  }, [handle, listens]);

  return useSelected(store, initial, whole, Object.is);
}

function otherError(view: ChannelView, shown: ChannelView): boolean {
  return view.error !== shown.error;
}

function initialView(channel: string): ChannelView {
  return { channel, connection: channel === "" ? "idle" : "connecting", events: [], error: null };
}
