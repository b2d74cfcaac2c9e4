import { useContext, useInsertionEffect, useMemo, useRef } from "react";
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
  const newest = useRef(onEvent);
  useInsertionEffect(() => {
    newest.current = onEvent;
  });
  const store = useMemo(() => {
    if (client === null) return null;
    const tell = (event: ChannelEvent) => newest.current?.(event);
    const handle = client.channel(name!, replay === undefined ? { onEvent: tell } : { onEvent: tell, replay });
    return new Store<ChannelView>(handle, throttleMs ?? null, otherError);
  }, [client, name, replay, throttleMs]);
  return useSelected(store, initial, whole, Object.is);
}

function otherError(view: ChannelView, shown: ChannelView): boolean {
  return view.error !== shown.error;
}

function initialView(channel: string): ChannelView {
  return { channel, connection: channel === "" ? "idle" : "connecting", events: [], error: null };
}
