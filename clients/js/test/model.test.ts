import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProgressEvent, Replay, Snapshot, TransportName } from "../src/types.js";
import { World } from "./support/world.js";

type Step =
  | { readonly do: "progress"; readonly percent: number; readonly stage: string | undefined }
  | { readonly do: "log" | "part" | "forget" | "restart" | "slow" | "fast" | "cut" | "complete" | "close" }
  | { readonly do: "another"; readonly replay: Replay }
  | { readonly do: "pass"; readonly ms: number }
  | { readonly do: "block" | "unblock"; readonly transport: TransportName };

const TRANSPORTS = ["websocket", "fetch-sse", "event-source", "poll"] as const;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("progress" as const),
      percent: fc.nat(99),
      stage: fc.constantFrom(undefined, "a", "b/c"),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("log" as const, "part" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(1, 3, 100, 2000, 40_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("cut" as const, "slow" as const, "fast" as const, "forget" as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom("restart" as const, "complete" as const, "close" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("another" as const),
      replay: fc.constantFrom("all" as const, "latest" as const, "none" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom("block" as const, "unblock" as const),
      transport: fc.constantFrom(...TRANSPORTS),
    }),
  },
);

/**
 * What does not depend on events that are retained no more: when a stage began, and whether stages were declared, so
 * that others weigh nothing, may be among them.
 */
const lasting = ({ stages, ...rest }: Snapshot): object => ({
  ...rest,
  stages: stages.map(({ elapsed_ms: _, weight: __, ...stage }) => stage),
});

/** Plays steps to tabs that share, or do not, and checks what each of them has seen in the end. */
async function play(steps: readonly Step[], share: boolean): Promise<void> {
  const world = new World();
  world.install();
  const { server } = world;
  try {
    server.start("t", "a");
    const open: { seen: ProgressEvent[]; awaited: ProgressEvent[]; check(): void; close(): void }[] = [];
    const another = (replay?: Replay): void => {
      const tab = world.tab();
      const client = tab.client({ share });
      const seen: ProgressEvent[] = [];
      const awaited: ProgressEvent[] = [];
      const ends: string[] = [];
      const task = client.task("t", {
        ...(replay && { replay }),
        onEvent: (event) => seen.push(event),
        onComplete: () => ends.push("complete"),
        onError: ({ code }) => ends.push(code),
      });
      tab.run(() => task.subscribe(() => {}));
      void tab.run(async () => {
        for await (const event of client.task("t")) awaited.push(event);
      });
      const check = (): void => {
        const truth = server.snapshot("t");
        expect(ends.length).toBeLessThanOrEqual(1);
        // What has ended is watched no more: another run after it is another watch.
        if (task.snapshot?.epoch !== truth.epoch) return expect(ends).toHaveLength(1);
        expect(lasting(task.snapshot)).toEqual(lasting(truth));
      };
      open.push({ seen, awaited, check, close: () => tab.close() });
    };
    another();
    let lines = 0;
    for (const one of steps) {
      const hasEnded = server.snapshot("t").state === "completed";
      if (one.do === "pass") await world.pass(one.ms);
      else if (one.do === "block") world.blocked.set(one.transport, "closed");
      else if (one.do === "unblock") world.blocked.delete(one.transport);
      else if (one.do === "cut") server.closeAll();
      else if (one.do === "slow") for (const session of server.sessions) session.isSlow = true;
      else if (one.do === "fast") {
        for (const session of server.sessions) session.isSlow = false;
        for (const session of server.sessions) session.flush();
      } else if (one.do === "another" && open.length < 4) another(one.replay);
      else if (one.do === "close" && open.length > 1) open.shift()!.close();
      else if (one.do === "restart") server.start("t", "a");
      else if (hasEnded) continue;
      else if (one.do === "progress") server.progress("t", one.percent, one.stage);
      else if (one.do === "log") server.publish("t", "log", { n: ++lines, level: "INFO", message: "" });
      else if (one.do === "part") server.publish("t", "part", { at: ++lines }, `k${lines % 3}`);
      else if (one.do === "forget") server.forget("t", Math.floor(server.snapshot("t").seq / 2));
      else if (one.do === "complete") server.complete("t");
    }
    world.blocked.clear();
    for (const session of server.sessions) session.isSlow = false;
    for (const session of server.sessions) session.flush();
    // The longest wait of the back-off, and of a leader that may be gone.
    await world.pass(150_000);
    // Of thirty thousand histories none asks more often than 42 times: what asks on and on is slow, and wrong.
    expect(world.requests.length).toBeLessThan(200);
    for (const { seen, awaited, check } of open) {
      check();
      for (const events of [seen, awaited]) inOrder(events);
      expect(new Set(awaited.map(({ seq, epoch }) => `${epoch}:${seq}`)).size).toBe(awaited.length);
    }
  } finally {
    world.uninstall();
  }
}

/** Each run's events are in order, each once, and what is between two of them is declared by the second. */
function inOrder(events: readonly ProgressEvent[]): void {
  const last = new Map<string, number>();
  for (const { epoch, seq, from = seq } of events) {
    const before = last.get(epoch);
    if (before !== undefined) {
      expect(seq).toBeGreaterThan(before);
      expect(from).toBeLessThanOrEqual(before + 1);
    }
    last.set(epoch, seq);
  }
}

/** Once asked for history again and again: events of a run that is over waited before those of the next. */
const AGAIN: readonly Step[] = [
  { do: "part" },
  { do: "pass", ms: 2000 },
  { do: "progress", percent: 83, stage: "a" },
  { do: "another", replay: "all" },
  { do: "restart" },
  { do: "pass", ms: 1 },
  { do: "progress", percent: 24, stage: "b/c" },
];

describe("whatever happens to log and connection", () => {
  it("a run that ends while it is asked for is asked for no more", async () => {
    await play(AGAIN, true);
    await play(AGAIN, false);
  });

  it("the view is the server's snapshot in the end, and events come in order without an undeclared hole", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), (steps) => play(steps, false)),
      { numRuns: 300 },
    );
  }, 120_000);

  it("so it is for tabs that share, come and go", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), (steps) => play(steps, true)),
      { numRuns: 300 },
    );
  }, 120_000);
});
