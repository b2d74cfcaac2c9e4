/** Somebody who works on tasks and tells of it, and what a watcher has to have been told by the end. */

import { expect } from "vitest";
import type { Snapshot } from "../../../src/index.js";
import type { Server } from "../../real/server.js";
import type { Seen } from "../pages/tab.js";

/** Publishes `step` events, which are never left out, counted by task. */
export class Worker {
  readonly #server: Server;
  readonly #counts = new Map<string, number>();

  constructor(server: Server) {
    this.#server = server;
  }

  /** How many have been told of a task. */
  told(id: string): number {
    return this.#counts.get(id) ?? 0;
  }

  async begin(...ids: string[]): Promise<void> {
    for (const id of ids) {
      await this.#server.post("/tasks", { task_id: id, stages: [{ path: "first" }, { path: "second", weight: 3 }] });
    }
  }

  /** Publishes so many events of each task, one request each, one task after another. */
  async steps(count: number, ...ids: string[]): Promise<void> {
    for (let step = 0; step < count; step++) {
      for (const id of ids) {
        const n = this.told(id);
        this.#counts.set(id, n + 1);
        await this.#server.publish(
          id,
          ["step", { n }],
          ["progress_update", { stage: "second", stage_progress: n % 100 }],
        );
      }
    }
  }

  /** Goes on with tasks until what this gives is called, which waits for the last. */
  keepOn(...ids: string[]): () => Promise<void> {
    let isOn = true;
    const done = (async () => {
      while (isOn) {
        await this.steps(1, ...ids);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    // Told where it is awaited.
    done.catch(() => {});
    return () => {
      isOn = false;
      return done;
    };
  }

  async complete(...ids: string[]): Promise<void> {
    for (const id of ids) await this.#server.publish(id, ["complete", { status: "completed", result: id }]);
  }
}

/** Every event of the protocol continues the one before: no repeat, no hole that nobody declared. */
export function expectContinuous(events: readonly Seen[]): void {
  let epoch: string | undefined;
  let last = 0;
  for (const event of events) {
    if (event.epoch !== epoch && epoch !== undefined) last = 0;
    if (epoch === undefined) last = event.from - 1;
    epoch = event.epoch;
    if (event.from !== last + 1)
      throw new Error(`${event.epoch}:${event.from}..${event.seq} (${event.type}) came after ${last}`);
    last = event.seq;
  }
}

/** All steps from the first to the last, each once and in order. */
export function expectSteps(events: readonly Seen[], count: number, first = 0): void {
  expectContinuous(events);
  expect(events.flatMap(({ n }) => n ?? [])).toEqual(Array.from({ length: count - first }, (_, n) => first + n));
}

/** What a snapshot says that does not depend on when it was made. */
export const settled = ({ elapsed_ms, eta_ms, dropped_logs, stages, ...rest }: Snapshot): object => ({
  ...rest,
  stages: stages.map(({ eta_ms, elapsed_ms, ...stage }) => stage),
});
