/** A page of React, whose StrictMode mounts everything twice. */

import { createElement, type ReactElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createProgressClient } from "../../../src/index.js";
import { ProgressProvider, useProgress } from "../../../src/react/index.js";

const client = createProgressClient({ url: location.origin });
const ended: string[] = [];
let mounts = 0;

function Bar({ task }: { task: string }): ReactElement {
  mounts++;
  const { snapshot } = useProgress(task, { onComplete: () => void ended.push(task) });
  return createElement("p", {}, `${task} is ${snapshot?.state}`);
}

const strict = {
  ended,
  mounts: () => mounts,
  show(tasks: readonly string[]): void {
    const bars = tasks.map((task, at) => createElement(Bar, { task, key: at }));
    const app = createElement(StrictMode, {}, createElement(ProgressProvider, { client }, bars));
    createRoot(document.body.appendChild(document.createElement("main"))).render(app);
  },
};
declare global {
  interface Window {
    strict: typeof strict;
  }
}
window.strict = strict;
