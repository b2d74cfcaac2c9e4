import { useContext, useEffect, useState } from "react";
import { lease } from "../element/clients.js";
import { outcomeOf } from "../element/outcome.js";
import { createProgressClient } from "../index.js";
import type { ProgressClient, ProgressError, Snapshot, TaskView, TransportName } from "../types.js";
import { ClientContext } from "./context.js";
import { shallowEqual } from "./equal.js";
import { useProgress } from "./use-progress.js";

export interface UseProgressTrackingOptions {
  /** Whether a WebSocket is tried first (default true). Only with `url`: a provider's client has its own order. */
  preferWebSocket?: boolean | undefined;
  onComplete?: ((result: unknown, snapshot: Snapshot) => void) | undefined;
  onError?: ((error: ProgressError, snapshot: Snapshot | null) => void) | undefined;
  /** Where the routes are mounted, for pages without a provider; hooks of one url share a client. */
  url?: string | undefined;
}

export interface Tracking {
  readonly progress: {
    /** Percent, 0 to 100. */
    readonly progress: number;
    readonly stage: string | null;
    readonly message: string | null;
  };
  /** Whether what is shown is what the server knows now. */
  readonly isConnected: boolean;
  /** Why the task failed, or cannot be watched. */
  readonly error: ProgressError | null;
}

const STREAMS_AND_POLLS: readonly TransportName[] = ["fetch-sse", "event-source", "poll"];

/**
 * The little that a page with one bar needs.
 *
 * @example
 * const { progress, isConnected, error } = useProgressTracking(taskId, { url: "/api" });
 */
export function useProgressTracking(taskId: string | null, options: UseProgressTrackingOptions = {}): Tracking {
  const { url, preferWebSocket = true, onComplete, onError } = options;
  const provided = useContext(ClientContext);
  const leased = useLease(taskId === null ? undefined : url, preferWebSocket);
  const client = url === undefined ? provided : leased;
  // With a url of its own there is a client only once it is mounted.
  const watched = url !== undefined && leased === null ? null : taskId;
  return useProgress(watched, { client: client ?? undefined, select: trackingOf, isEqual: sameTracking, onComplete, onError });
}

function useLease(url: string | undefined, preferWebSocket: boolean): ProgressClient | null {
  const [client, setClient] = useState<ProgressClient | null>(null);
  useEffect(() => {
    if (url === undefined) return;
    const held = lease(preferWebSocket ? { url } : { url, transports: STREAMS_AND_POLLS }, createProgressClient);
    setClient(held.client);
    return () => {
      setClient(null);
      held.release();
    };
  }, [url, preferWebSocket]);
  return client;
}

function trackingOf(view: TaskView): Tracking {
  const { progress = 0, stage = null, message = null } = view.snapshot ?? {};
  const outcome = outcomeOf(view);
  return {
    progress: { progress, stage, message },
    isConnected: view.connection === "live" || view.connection === "polling",
    error: outcome !== null && !outcome.completed ? outcome.error : view.error,
  };
}

function sameTracking(a: Tracking, b: Tracking): boolean {
  return a.isConnected === b.isConnected && a.error === b.error && shallowEqual(a.progress, b.progress);
}
