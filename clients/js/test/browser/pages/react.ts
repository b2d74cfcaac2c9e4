/** Bars in React: by the hook, and as one would write them with `useState`, on `fetch-event-source` or `socket.io-client`. */

import { fetchEventSource } from "@microsoft/fetch-event-source";
import { createElement, Profiler, type ReactElement, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { io } from "socket.io-client";
import { createProgressClient } from "../../../src/index.js";
import { ProgressProvider, useProgress } from "../../../src/react/index.js";

const url = location.pathname.replace("/react", "");
const client = createProgressClient({ url });
const ended: string[] = [];
let renders = 0;

function ByHook({ task }: { task: string }): ReactElement {
  const { snapshot } = useProgress(task, { onComplete: () => void ended.push(task) });
  return createElement("p", {}, `${task} ${snapshot?.state} ${snapshot?.progress}`);
}

/** What is told of a task, set as it comes. */
function useTold(task: string): { words: string; tell: (text: string) => void } {
  const [progress, setProgress] = useState(0);
  const [state, setState] = useState("waiting");
  const tell = (text: string) => {
    const { event_type, data: told } = JSON.parse(text);
    if (typeof told?.progress === "number") setProgress(told.progress);
    if (event_type === "complete") setState(told.status);
  };
  return { words: `${task} ${state} ${progress}`, tell };
}

function ByState({ task }: { task: string }): ReactElement {
  const { words, tell } = useTold(task);
  useEffect(() => {
    const leaving = new AbortController();
    void fetchEventSource(`${url}/sse/progress/${task}`, {
      signal: leaving.signal,
      openWhenHidden: true,
      onmessage({ data }) {
        if (data !== "") tell(data);
      },
      onclose() {
        throw new Error("ended");
      },
      onerror(error) {
        throw error;
      },
    }).catch(() => {});
    return () => leaving.abort();
  }, [task]);
  return createElement("p", {}, words);
}

/** One for the page, as one would have it. */
const socket = io({ autoConnect: false, transports: ["websocket"] });

function BySocket({ task }: { task: string }): ReactElement {
  const { words, tell } = useTold(task);
  useEffect(() => {
    socket.on(task, tell).connect();
    return () => void socket.off(task, tell);
  }, [task]);
  return createElement("p", {}, words);
}

const KINDS = { hook: ByHook, state: ByState, socket: BySocket };

function show(kind: keyof typeof KINDS, tasks: string[], strict: boolean) {
  const bars = tasks.map((task) =>
    createElement(
      Profiler,
      { id: task, key: task, onRender: () => void (renders += 1) },
      createElement(KINDS[kind], { task }),
    ),
  );
  const all = createElement(ProgressProvider, { client }, bars);
  const root = createRoot(document.body.appendChild(document.createElement("main")));
  root.render(strict ? createElement(StrictMode, {}, all) : all);
}

Object.assign(globalThis, { react: { show, ended, renders: () => renders, isConnected: () => socket.connected } });
