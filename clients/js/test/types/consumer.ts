/** A program that uses all of the package, checked against the types that are packed: `npm run check`. */

import {
  createProgressClient,
  type ChannelEvent,
  type ConnectionState,
  ProgressError,
  type ProgressEvent,
  type Replay,
  type Snapshot,
  type TaskView,
} from "@progress-rs/client";
import { Dashboard, setStrings, setWords, type SomeWords } from "@progress-rs/client/dashboard";
import { type ProgressView, type SomeStrings } from "@progress-rs/client/element";
import { ProgressProvider, useChannel, useProgress, useProgressTracking, useTasks } from "@progress-rs/client/react";
import { createElement, type ReactElement } from "react";

const client = createProgressClient({
  url: "/api",
  getToken: async () => null,
  getGrant: (task) => task,
  transports: ["websocket", "poll"],
  share: "user-7",
  backoff: { max: 10_000 },
});

export async function watch(): Promise<string[]> {
  const replay: Replay = "none";
  const task = client.task("a", {
    replay,
    onComplete: (result, { progress }) => result === progress,
    onError: ({ code, isRetryable, error }, snapshot) => [code, isRetryable, error.solutions, snapshot?.state],
    onEvent: ({ event_type, data }) => [event_type, data.anything],
  });
  const stop: () => void = task.subscribe(({ snapshot, logs, error }) => [snapshot?.stages[0]?.path, logs[0]?.n, error]);
  const states: ConnectionState[] = [task.connection, client.connection];
  const group = client.tasks(["a", "b"], { replay: "latest" });
  const views: ReadonlyMap<string, TaskView> = group.views;
  const types: string[] = [];
  for await (const { event_type } of task) types.push(event_type);
  for await (const { task_id } of group) types.push(task_id);
  for await (const { event } of client.channel("jobs", { replay: "all" })) types.push(event.event_type);
  await Promise.all([task.cancel("enough"), group.cancel()]);
  const { next } = await client.request<{ next?: string }>("/tasks?state=active");
  stop();
  return [...types, ...states, ...views.keys(), next ?? ""];
}

function Bar({ id }: { id: string | null }): ReactElement {
  const view: TaskView = useProgress(id);
  const snapshot: Snapshot | null = useProgress(id, { throttleMs: 100, onError: (error) => error.code }).snapshot;
  const percent: number = useProgress(id, { select: ({ snapshot }) => Math.floor(snapshot?.progress ?? 0) });
  const lines: string[] = useProgress(id, {
    throttleMs: 0,
    replay: "all",
    select: ({ logs }) => logs.map(({ message }) => message),
    isEqual: (a, b) => a.length === b.length,
  });
  const many: ReadonlyMap<string, TaskView> = useTasks(["a"], { replay: "none" });
  const events: readonly ChannelEvent[] = useChannel("jobs", { onEvent: ({ channel_seq }) => channel_seq }).events;
  const { progress, isConnected, error } = useProgressTracking(id, { url: "/api", preferWebSocket: false });
  const words = [view.connection, snapshot?.state, percent, ...lines, many.size, events.length, progress.stage, isConnected];
  return createElement("p", {}, error instanceof ProgressError ? error.code : words.join(" "));
}

export const app = createElement(ProgressProvider, { client }, createElement(Bar, { id: "a" }));

const words: SomeWords = { title: "Aufgaben", sorts: { newest: "Neueste" }, shown: (shown, all) => `${shown}/${all}` };
const strings: SomeStrings = { locale: "de", states: { running: "Läuft" }, left: (span) => `noch ${span}` };
setWords(words);
setStrings(strings);
new Dashboard({ url: "/api" }).start();

const view: ProgressView = document.createElement("progress-view");
view.client = client;
view.addEventListener("progress-complete", ({ detail }) => detail.snapshot.result);
view.addEventListener("progress-error", ({ detail }) => detail.error.error.solutions);

// What must not pass.
// @ts-expect-error: there is no such transport
createProgressClient({ url: "/", transports: ["carrier-pigeon"] });
// @ts-expect-error: views are not to be changed
client.task("a").view.connection = "live";
// @ts-expect-error: a snapshot may not be there
export const before: Snapshot = client.task("a").view.snapshot;
// @ts-expect-error: there is no such replay
client.task("a", { replay: "some" });
export const seq = ({ seq }: ProgressEvent): number => seq;
