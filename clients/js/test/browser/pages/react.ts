/** Bars in React: by the hook, and as one would write them with `fetch-event-source` and `useState`. */

import { fetchEventSource } from "@microsoft/fetch-event-source";
import { createElement, Profiler, type ReactElement, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
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

function ByState({ task }: { task: string }): ReactElement {
  const [progress, setProgress] = useState(0);
  const [state, setState] = useState("waiting");
  useEffect(() => {
    const leaving = new AbortController();
    void fetchEventSource(`${url}/sse/progress/${task}`, {
      signal: leaving.signal,
      openWhenHidden: true,
      onmessage({ data }) {
        if (data === "") return;
        const { event_type, data: told } = JSON.parse(data);
        if (typeof told?.progress === "number") setProgress(told.progress);
        if (event_type === "complete") setState(told.status);
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
  return createElement("p", {}, `${task} ${state} ${progress}`);
}

function show(kind: "hook" | "state", tasks: string[], strict: boolean) {
  const bars = tasks.map((task) =>
    createElement(
      Profiler,
      { id: task, key: task, onRender: () => void (renders += 1) },
      createElement(kind === "hook" ? ByHook : ByState, { task }),
    ),
  );
  const all = createElement(ProgressProvider, { client }, bars);
  const root = createRoot(document.body.appendChild(document.createElement("main")));
  root.render(strict ? createElement(StrictMode, {}, all) : all);
}

Object.assign(globalThis, { react: { show, ended, renders: () => renders } });
