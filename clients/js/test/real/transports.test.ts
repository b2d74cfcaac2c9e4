import { EventSource } from "eventsource";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import {
  createProgressClient,
  type ProgressClient,
  type ProgressEvent,
  type Replay,
  type Snapshot,
  type TransportName,
} from "../../src/index.js";
import { PROGRAM, Server, until } from "./server.js";

if (!PROGRAM) console.warn("PROGRESS_SERVER is not set: no test against a real server");
Object.assign(globalThis, { WebSocket, EventSource });

const TRANSPORTS = ["websocket", "fetch-sse", "event-source", "poll"] as const;

/** What a snapshot says that does not depend on when it was made. */
const settled = ({ elapsed_ms, dropped_logs, stages, ...rest }: Snapshot): object => ({
  ...rest,
  stages: stages.map(({ eta_ms, ...stage }) => ({ ...stage, ...(eta_ms == null ? {} : { eta_ms }) })),
});

const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

describe.skipIf(!PROGRAM)("against a real server", () => {
  const server = new Server(["--open", "--heartbeat", "1s", "--unknown-wait", "1s"]);
  beforeAll(() => server.start());
  afterAll(() => server.kill());

  let ids = 0;
  const newTask = async (transport: string, body: object = {}): Promise<string> => {
    const id = `${transport}-${++ids}`;
    await server.post("/tasks", { task_id: id, ...body });
    return id;
  };

  const withClient = async (
    transport: TransportName,
    body: (client: ProgressClient) => Promise<void>,
  ): Promise<void> => {
    const client = createProgressClient({ url: server.url, transports: [transport], backoff: { min: 50, max: 200 } });
    try {
      await body(client);
    } finally {
      client.close();
    }
  };

  describe.each(TRANSPORTS)("%s", (transport) => {
    it("tells anew of tasks that were let go and are wanted again at that moment", () =>
      withClient(transport, async (client) => {
        const ids = await Promise.all(Array.from({ length: 20 }, () => newTask(transport)));
        const held = client.task(await newTask(transport)).subscribe(() => {});
        // Around the moment at which the server is told that nobody watches them any more.
        for (const ms of [490, 500, 510, 560]) {
          const stops = ids.map((id) => client.task(id).subscribe(() => {}));
          await until(`all are there, ${ms}`, () => ids.every((id) => client.task(id).snapshot !== null));
          for (const stop of stops) stop();
          await new Promise((resolve) => setTimeout(resolve, ms));
        }
        held();
      }));

    it("shows the server's snapshot, at once and after every event", () =>
      withClient(transport, async (client) => {
        const id = await newTask(transport, {
          name: "a name",
          labels: { user: "7" },
          stages: [
            { path: "a", weight: 1, total: 4, unit: "files" },
            { path: "b/c", weight: 3 },
          ],
        });
        const task = client.task(id);
        const seqs: number[] = [];
        task.subscribe(({ snapshot }) => snapshot && seqs.push(snapshot.seq));
        await until("there is a snapshot", () => task.snapshot !== null);
        expect([client.transport, task.connection]).toEqual([transport, transport === "poll" ? "polling" : "live"]);
        await server.publish(id, ["progress_update", { stage: "a", current: 2, message: "half", metadata: { x: 1 } }]);
        await server.publish(id, ["log", { message: "a line", fields: { y: 2 } }], ["part", { url: "/1" }, "part-1"]);
        await server.publish(id, ["error", { code: "BUSY", message: "later", is_retryable: true, stage: "a" }]);
        await server.publish(
          id,
          ["progress_update", { stage: "b/c", stage_progress: 40, metadata: { x: 2 } }],
          ["paused", {}],
        );
        const same = async (): Promise<boolean> =>
          (await server.get<Snapshot>(`/tasks/${id}`)).seq === task.snapshot!.seq;
        await until("all has come", same);
        expect(plain(settled(task.snapshot!))).toEqual(settled(await server.get<Snapshot>(`/tasks/${id}`)));
        await server.publish(
          id,
          ["resumed", {}],
          ["progress_update", { stage: "undeclared/deep", current: 1, total: 3 }],
        );
        await server.publish(id, [
          "complete",
          { status: "failed", error: { code: "NO_GPU", message: "none is free" } },
        ]);
        await until("it has ended", () => task.connection === "ended");
        expect(plain(settled(task.snapshot!))).toEqual(settled(await server.get<Snapshot>(`/tasks/${id}`)));
        expect(task.view.logs).toMatchObject([{ n: 1, level: "INFO", message: "a line", fields: { y: 2 } }]);
        expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
      }));

    it("gives every event once and in order, from before and after it came", () =>
      withClient(transport, async (client) => {
        const id = await newTask(transport);
        await server.publish(id, ...Array.from({ length: 30 }, (_, n) => ["step", { n }] as const));
        const steps: number[] = [];
        const all = (async () => {
          for await (const event of client.task(id)) {
            if (event.event_type === "step") steps.push((event as ProgressEvent<{ n: number }>).data.n);
          }
        })();
        await until("some have come", () => steps.length > 10);
        for (let n = 30; n < 60; n++) await server.publish(id, ["step", { n }]);
        await server.publish(id, ["complete", { status: "completed" }]);
        await all;
        expect(steps).toEqual(Array.from({ length: 60 }, (_, n) => n));
      }));

    it("watches many tasks at once", () =>
      withClient(transport, async (client) => {
        const names = await Promise.all(Array.from({ length: 8 }, () => newTask(transport)));
        let done = 0;
        // A grant is asked for nobody here, so that all of them fit into one stream.
        const group = client.tasks(names, { onComplete: () => done++ });
        group.subscribe(() => {});
        await until("all are there", () => [...group.views.values()].every(({ snapshot }) => snapshot));
        for (const id of names)
          await server.publish(id, ["progress_update", { progress: 50 }], ["complete", { status: "completed" }]);
        await until("all have ended", () => done === names.length);
        expect([...group.views.keys()]).toEqual(names);
        // Where the snapshot is told before the end's event, the end is known a moment sooner.
        await until("nothing more is to come", () =>
          [...group.views.values()].every(({ connection }) => connection === "ended"),
        );
      }));

    it("watches two hundred tasks", () =>
      withClient(transport, async (client) => {
        const names = await Promise.all(Array.from({ length: 200 }, () => newTask(transport)));
        let done = 0;
        client.tasks(names, { onComplete: () => done++ }).subscribe(() => {});
        await Promise.all(names.map((id) => server.publish(id, ["complete", { status: "completed" }])));
        await until("all have ended", () => done === names.length);
      }));

    it("begins where it is told to, and tells an end from before all the same", () =>
      withClient(transport, async () => {
        const id = await newTask(transport);
        const lines = (from: number, to: number): [string, object][] =>
          Array.from({ length: to - from }, (_, n) => ["log", { message: `${from + n}` }]);
        await server.publish(id, ...lines(0, 50));
        const watch = (replay: Replay): { types: string[]; ends: unknown[]; logs(): number; there(): boolean; close(): void } => {
          const types: string[] = [];
          const ends: unknown[] = [];
          // Each by itself: the first watch of a client decides.
          const other = createProgressClient({ url: server.url, transports: [transport] });
          const task = other.task(id, {
            replay,
            onEvent: ({ event_type, data }) => types.push(data.message ?? event_type),
            onComplete: (result) => ends.push(result),
          });
          task.subscribe(() => {});
          return {
            types,
            ends,
            logs: () => task.view.logs.length,
            there: () => task.snapshot !== null,
            close: () => other.close(),
          };
        };
        const [all, latest, none] = [watch("all"), watch("latest"), watch("none")];
        await until("all has come", () => all.logs() === 50);
        await until("the latest has come", () => latest.types.length === 1);
        await until("nothing is to come from before", () => none.there());
        await server.publish(id, ...lines(50, 53), ["complete", { status: "completed", result: 1 }]);
        await until("the end is told", () => [all, latest, none].every(({ ends }) => ends.length === 1));
        await until("all is told", () => [all, latest, none].every(({ types }) => types.at(-1) === "complete"));
        const late = watch("none");
        await until("the end from before is told", () => late.ends.length === 1);
        expect(none.types).toEqual(["50", "51", "52", "complete"]);
        expect(latest.types).toEqual(["49", ...none.types]);
        expect(all.types.slice(-54, -4)).toEqual(Array.from({ length: 50 }, (_, n) => `${n}`));
        expect(late.types.filter((type) => type !== "complete")).toEqual([]);
        for (const { close } of [all, latest, none, late]) close();
      }));

    it("says of a task that is not there yet that it is not, and shows it when it begins", () =>
      withClient(transport, async (client) => {
        const id = `${transport}-later`;
        const task = client.task(id);
        task.subscribe(() => {});
        const link = transport === "poll" ? "polling" : "live";
        await until("the server has answered", () => task.connection === link);
        expect(task.view).toMatchObject({ snapshot: null, error: null });
        await server.post("/tasks", { task_id: id });
        await until("it is there", () => task.snapshot !== null);
      }));

    it("tells an end from before, and an unknown task", () =>
      withClient(transport, async (client) => {
        const id = await newTask(transport);
        await server.publish(id, ["complete", { status: "completed", result: { n: 1 } }]);
        const told: unknown[] = [];
        const tell = {
          onComplete: (result: unknown) => told.push(result),
          onError: ({ code }: { code: string }) => told.push(code),
        };
        client.task(id, tell).subscribe(() => {});
        await until("the end is told", () => told.length === 1);
        client.task("nobody", { ...tell }).subscribe(() => {});
        // The server waits for it for a second, a poll for ten.
        await until("the refusal is told", () => told.length === 2);
        expect(told).toEqual([{ n: 1 }, "TASK_NOT_FOUND"]);
      }));

    it.skipIf(transport === "poll")("watches a channel from now on, or from its beginning", () =>
      withClient(transport, async (client) => {
        const name = `jobs-${transport}`;
        await server.post(`/channels/${name}/events`, { event_type: "before", data: 1 });
        const now = client.channel(name);
        now.subscribe(() => {});
        await until("it is watched", () => now.connection === "live");
        await server.post(`/channels/${name}/events`, { event_type: "after", data: 2 });
        await until("it has come", () => now.view.events.length === 1);
        expect(now.view.events[0]!.event).toMatchObject({ event_type: "after", data: 2 });
        await withClient(transport, async (other) => {
          const all = other.channel(name, { replay: "all" });
          all.subscribe(() => {});
          await until("both have come", () => all.view.events.length === 2);
          expect(all.view.events.map(({ event }) => event.event_type)).toEqual(["before", "after"]);
        });
      }),
    );
  });
});
