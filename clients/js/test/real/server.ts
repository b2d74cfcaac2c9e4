/** A real server for a test, and how to publish to it. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";

/** The server's program; suites that need it are skipped, and say so, where there is none. */
export const PROGRAM = process.env.PROGRESS_SERVER;

export class Server {
  url = "";
  #child: ChildProcess | undefined;
  #port = 0;

  constructor(readonly flags: readonly string[] = ["--open"]) {}

  /** Starts it; the second time on the same port, so that clients find it again. */
  async start(): Promise<void> {
    const child = spawn(PROGRAM!, [...this.flags, "--listen", `127.0.0.1:${this.#port}`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child = child;
    let told = "";
    for await (const piece of child.stdout!) {
      told += String(piece);
      const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(told);
      if (!found) continue;
      this.#port = Number(found[1]);
      this.url = found[0];
      return;
    }
    throw new Error(`the server has ended: ${told}`);
  }

  /** Ends it without a word. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  async post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<unknown> {
    const response = await fetch(this.url + path, { method: "POST", body: JSON.stringify(body), headers });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  async get<T>(path: string): Promise<T> {
    return (await fetch(this.url + path)).json() as Promise<T>;
  }

  /** Publishes events to a task. */
  publish(id: string, ...events: readonly (readonly [type: string, data?: unknown, key?: string])[]): Promise<unknown> {
    return this.post(
      `/tasks/${id}/events`,
      events.map(([event_type, data = {}, key]) => ({ event_type, data, ...(key ? { key } : {}) })),
    );
  }
}

/** Waits until a condition holds, and says what it was where it never does. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not in ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
