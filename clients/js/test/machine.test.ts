import { beforeEach, describe, expect, it } from "vitest";
import fc from "fast-check";
import {
  CLIMB_MS,
  Machine,
  OFFLINE_MS,
  OPEN_MS,
  PING_MS,
  RECLIMB_MS,
  STEADY_MS,
  type Effects,
  type Loss,
} from "../src/machine.js";

/** A machine whose world is a list of what it did, and whose clock is set by hand. */
class Rig implements Effects {
  now = 0;
  luck = 1;
  canPing = true;
  readonly done: string[] = [];
  readonly machine: Machine;

  constructor(rungs = 4, maxAttempts = Infinity) {
    this.machine = new Machine({ rungs, min: 500, max: 30_000, maxAttempts, random: () => this.luck }, this);
  }

  open(link: number, rung: number): void {
    this.done.push(`open ${link} by ${rung}`);
  }

  close(link: number): void {
    this.done.push(`close ${link}`);
  }

  ping(link: number): boolean {
    this.done.push(`ping ${link}`);
    return this.canPing;
  }

  fail({ code }: { code: string }): void {
    this.done.push(`fail ${code}`);
  }

  /** Lets time pass, doing what is due on the way. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (let due = this.machine.due; due <= end; due = this.machine.due) {
      this.now = Math.max(this.now, due);
      this.machine.tick(this.now);
    }
    this.now = end;
  }

  /** Lets time pass until there is another attempt. */
  retry(): void {
    while (!this.machine.next && this.machine.due < Infinity) this.pass(Math.max(0, this.machine.due - this.now));
  }

  /** Frames as often as a server sends heartbeats. */
  live(ms: number): void {
    for (let passed = 0; passed < ms; passed += 10_000) {
      this.pass(Math.min(10_000, ms - passed));
      if (this.machine.current) this.machine.heard(this.machine.current.id, this.now);
    }
  }

  start(): void {
    this.machine.start(this.now);
  }

  opened(link: number): void {
    this.machine.opened(link, this.now);
  }

  lost(link: number, loss?: Loss): void {
    this.machine.lost(link, this.now, loss);
  }

  /** What was done since this was asked last. */
  take(): string[] {
    return this.done.splice(0);
  }
}

const refused = (code: string): Loss => ({ error: { code, message: code, is_retryable: false } });

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});

describe("connecting", () => {
  it("does nothing before there is something to watch, and lets go when there is nothing any more", () => {
    expect(rig.machine.due).toBe(Infinity);
    rig.start();
    rig.opened(1);
    rig.machine.stop();
    expect(rig.take()).toEqual(["open 1 by 0", "close 1"]);
    expect(rig.machine.due).toBe(Infinity);
  });

  it("gives an attempt up that is not answered in time", () => {
    rig.start();
    rig.pass(OPEN_MS);
    expect(rig.take()).toEqual(["open 1 by 0", "close 1"]);
    rig.pass(500);
    expect(rig.take()).toEqual(["open 2 by 0"]);
  });

  it("doubles the bound of its waits up to the greatest, and waits a random part of it", () => {
    rig = new Rig(1);
    rig.start();
    const waits: number[] = [];
    for (let link = 1; link <= 10; link++) {
      rig.lost(link);
      waits.push(rig.machine.due - rig.now);
      rig.retry();
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
    rig.luck = 0.25;
    rig.lost(11);
    expect(rig.machine.due - rig.now).toBe(7_500);
  });

  it("forgets its failures once a link has lived for a while, and not before", () => {
    rig = new Rig(1);
    rig.start();
    for (let link = 1; link <= 3; link++) {
      rig.lost(link);
      rig.retry();
    }
    rig.opened(4);
    rig.pass(STEADY_MS - 1);
    rig.lost(4);
    expect(rig.machine.due - rig.now).toBe(4000);
    rig.pass(4000);
    rig.opened(5);
    rig.pass(STEADY_MS);
    rig.lost(5);
    expect(rig.machine.due - rig.now).toBe(500);
  });

  it("goes on for ever, or as often as it may", () => {
    rig = new Rig(1, 3);
    rig.start();
    for (let link = 1; link <= 4; link++) {
      rig.lost(link);
      rig.retry();
    }
    expect(rig.take().at(-1)).toBe("fail UNREACHABLE");
    rig = new Rig(1);
    rig.start();
    for (let link = 1; link <= 1000; link++) {
      rig.lost(link);
      rig.retry();
    }
    expect(rig.take().at(-1)).toBe("open 1001 by 0");
  });

  it("waits as long as the server asks, and some more", () => {
    rig.start();
    rig.lost(1, { error: { code: "RATE_LIMITED", message: "", is_retryable: true }, after: 7_000 });
    expect(rig.machine.due - rig.now).toBe(7_500);
  });

  it("what was closed has no say any more", () => {
    rig.start();
    rig.pass(OPEN_MS);
    rig.retry();
    rig.opened(1);
    rig.lost(1, refused("FORBIDDEN"));
    expect(rig.machine.current).toBeNull();
    expect(rig.take()).toEqual(["open 1 by 0", "close 1", "open 2 by 0"]);
  });
});

describe("being alive", () => {
  it("a link is dead after a silence of two heartbeats", () => {
    rig.start();
    rig.machine.heartbeat = 10_000;
    rig.opened(1);
    rig.pass(15_000);
    rig.machine.heard(1, rig.now);
    rig.pass(19_999);
    expect(rig.take()).toEqual(["open 1 by 0"]);
    rig.pass(501);
    expect(rig.take()).toEqual(["close 1", "open 2 by 0"]);
  });

  it("after a sleep it is asked, and is dead if it does not answer soon", () => {
    rig.start();
    rig.opened(1);
    rig.machine.check(rig.now);
    rig.pass(PING_MS - 1);
    rig.machine.heard(1, rig.now);
    rig.pass(10_000);
    expect(rig.take()).toEqual(["open 1 by 0", "ping 1"]);
    rig.machine.check(rig.now);
    rig.pass(PING_MS);
    expect(rig.take()).toEqual(["ping 1", "close 1"]);
  });

  it("without a network it is asked to answer sooner, also if it was asked already", () => {
    rig.start();
    rig.opened(1);
    rig.machine.check(rig.now);
    rig.machine.check(rig.now, OFFLINE_MS);
    rig.pass(OFFLINE_MS - 1);
    expect(rig.take()).toEqual(["open 1 by 0", "ping 1", "ping 1"]);
    rig.pass(1);
    expect(rig.take()).toEqual(["close 1"]);
  });

  it("where it cannot be asked another is made beside it, if it was silent", () => {
    rig.canPing = false;
    rig.start();
    rig.opened(1);
    rig.pass(20_000);
    rig.machine.check(rig.now);
    rig.pass(1);
    expect(rig.take()).toEqual(["open 1 by 0", "ping 1"]);
    rig.pass(15_000);
    rig.machine.check(rig.now);
    rig.pass(0);
    rig.opened(2);
    expect(rig.take()).toEqual(["ping 1", "open 2 by 0", "close 1"]);
  });

  it("tries at once when somebody looks, or when the network is back", () => {
    for (const wake of ["visible", "online"] as const) {
      rig = new Rig();
      rig.start();
      rig.lost(1);
      rig.machine[wake](rig.now);
      expect(rig.take()).toEqual(["open 1 by 0", "open 2 by 0"]);
    }
  });

  it("an attempt from before the network was back is made anew", () => {
    rig.start();
    rig.machine.online(rig.now);
    expect(rig.take()).toEqual(["open 1 by 0", "close 1", "open 2 by 0"]);
  });
});

describe("refusals", () => {
  it.each(["FORBIDDEN", "INVALID_QUERY", "NOT_FOUND", "TOO_MANY_TOPICS", "DISCONNECTED"])("%s is final", (code) => {
    rig.start();
    rig.opened(1);
    rig.lost(1, refused(code));
    expect(rig.take()).toEqual(["open 1 by 0", `fail ${code}`]);
    rig.start();
    rig.lost(2, refused(code));
    expect(rig.take()).toEqual(["open 2 by 0", `fail ${code}`]);
    expect(rig.machine.due).toBe(Infinity);
  });

  it("credentials that are refused are asked for once more, and then no more", () => {
    rig.start();
    rig.lost(1, refused("UNAUTHENTICATED"));
    expect(rig.take()).toEqual(["open 1 by 0", "open 2 by 0"]);
    rig.lost(2, refused("UNAUTHENTICATED"));
    expect(rig.take()).toEqual(["fail UNAUTHENTICATED"]);
  });

  it("credentials that were taken meanwhile may be refused once again", () => {
    rig.start();
    rig.lost(1, refused("UNAUTHENTICATED"));
    rig.opened(2);
    rig.lost(2, refused("UNAUTHENTICATED"));
    expect(rig.take()).toEqual(["open 1 by 0", "open 2 by 0", "open 3 by 0"]);
  });

  it("new credentials are asked for at once when the old ones have ended, but not in a circle", () => {
    const expired: Loss = { error: { code: "CREDENTIAL_EXPIRED", message: "", is_retryable: true } };
    rig.start();
    rig.opened(1);
    rig.pass(STEADY_MS);
    rig.lost(1, expired);
    expect(rig.take()).toEqual(["open 1 by 0", "open 2 by 0"]);
    rig.opened(2);
    rig.lost(2, expired);
    expect(rig.take()).toEqual([]);
    expect(rig.machine.due - rig.now).toBe(500);
  });
});

describe("the ladder", () => {
  const fail = (times: number): void => {
    for (; times > 0; times--) {
      rig.lost(rig.machine.next!.id);
      rig.retry();
    }
  };

  it("goes one rung down after two failures to open in a row, and from the lowest to the top", () => {
    rig.start();
    fail(8);
    expect(rig.take().map((line) => line.at(-1))).toEqual([..."001122330"]);
  });

  it("a link that opened and was lost is no failure to open", () => {
    rig.start();
    for (let link = 1; link < 6; link++) {
      rig.opened(link);
      rig.lost(link);
      rig.retry();
    }
    expect(rig.take().map((line) => line.at(-1))).toEqual([..."000000"]);
  });

  it("tries a better one in the background, and stays until that has spoken", () => {
    rig.start();
    fail(2);
    rig.opened(3);
    rig.take();
    rig.live(CLIMB_MS[0]);
    expect(rig.take()).toEqual(["open 4 by 0"]);
    expect(rig.machine.current?.rung).toBe(1);
    rig.opened(4);
    expect(rig.take()).toEqual(["close 3"]);
    expect(rig.machine.current?.rung).toBe(0);
    rig.live(CLIMB_MS[1]);
    expect(rig.take()).toEqual([]);
  });

  it("doubles the time between climbs that fail, up to the longest", () => {
    rig.start();
    fail(2);
    rig.opened(3);
    rig.take();
    const at: number[] = [];
    for (let climbs = 0; climbs < 6; climbs++) {
      const before = rig.now;
      while (!rig.machine.next) rig.live(1_000);
      at.push(Math.round((rig.now - before) / 60_000));
      rig.lost(rig.machine.next.id);
    }
    expect(at).toEqual([1, 2, 4, 8, 10, 10]);
    expect(rig.machine.current?.id).toBe(3);
  });

  it("a climb that is refused for good is no end: what works goes on", () => {
    rig.start();
    fail(2);
    rig.opened(3);
    rig.live(CLIMB_MS[0]);
    rig.lost(4, refused("FORBIDDEN"));
    expect(rig.machine.current?.id).toBe(3);
    expect(rig.done.some((line) => line.startsWith("fail"))).toBe(false);
  });

  it("climbs at once when the network is another, and soon after an outage where the better one had worked", () => {
    rig.start();
    rig.opened(1);
    rig.lost(1);
    rig.retry();
    fail(2);
    rig.opened(rig.machine.next!.id);
    rig.take();
    rig.pass(RECLIMB_MS);
    expect(rig.take()).toEqual([expect.stringMatching(/by 0$/)]);
    rig.lost(rig.machine.next!.id);
    rig.machine.online(rig.now);
    rig.pass(0);
    expect(rig.take()).toEqual([expect.stringMatching(/^ping/), expect.stringMatching(/by 0$/)]);
  });

  it("the current link may be lost during a climb, which then is the way back", () => {
    rig.start();
    fail(2);
    rig.opened(3);
    rig.live(CLIMB_MS[0]);
    rig.lost(3);
    rig.take();
    rig.opened(4);
    expect(rig.machine.current?.id).toBe(4);
    expect(rig.take()).toEqual([]);
  });

  it("a proxy that holds frames back is got round, and its transports left alone until the network is another", () => {
    rig.start();
    fail(2);
    rig.opened(3);
    rig.take();
    rig.machine.buffered(3, rig.now, [1, 2]);
    expect(rig.take()).toEqual(["open 4 by 3"]);
    rig.opened(4);
    expect(rig.take()).toEqual(["close 3"]);
    rig.live(CLIMB_MS[0]);
    expect(rig.take()).toEqual(["open 5 by 0"]);
    rig.lost(5);
    rig.lost(4);
    rig.retry();
    fail(3);
    // All four would be two failures each: the held back ones are passed over.
    expect(rig.take().map((line) => line.at(-1))).toEqual([..."3300"]);
    rig.machine.online(rig.now);
    rig.take();
    fail(2);
    expect(rig.take().map((line) => line.at(-1))).toEqual([..."11"]);
  });

  it("a transport over which nothing comes after its first word is left alone as well", () => {
    rig.start();
    rig.opened(1);
    rig.pass(60_000);
    rig.retry();
    rig.opened(2);
    rig.pass(60_000);
    rig.retry();
    expect(rig.take()).toEqual(["open 1 by 0", "close 1", "open 2 by 0", "close 2", "open 3 by 1"]);
    rig.opened(3);
    rig.live(CLIMB_MS[1]);
    expect(rig.take()).toEqual([]);
    rig.machine.online(rig.now);
    rig.pass(0);
    expect(rig.take()).toEqual(["ping 3", "open 4 by 0"]);
  });

  it("a link that spoke for a while and is silent then is only lost", () => {
    rig.start();
    for (let link = 1; link < 5; link++) {
      rig.opened(link);
      rig.live(60_000);
      rig.pass(60_000);
      rig.retry();
    }
    expect(
      rig
        .take()
        .filter((line) => line.startsWith("open"))
        .map((line) => line.at(-1)),
    ).toEqual([..."00000"]);
  });

  it("a transport that cannot watch so much leaves it to a lower one at once", () => {
    rig.start();
    rig.lost(1, { isUnfit: true });
    expect(rig.take()).toEqual(["open 1 by 0", "open 2 by 1"]);
    rig.opened(2);
    rig.lost(2, { isUnfit: true });
    expect(rig.take()).toEqual(["open 3 by 2"]);
  });
});

describe("draining", () => {
  it("makes the way to another node before it leaves this one", () => {
    rig.start();
    rig.opened(1);
    rig.machine.draining(1, rig.now, 800);
    rig.pass(799);
    expect(rig.take()).toEqual(["open 1 by 0"]);
    rig.pass(1);
    expect(rig.take()).toEqual(["open 2 by 0"]);
    rig.opened(2);
    expect(rig.take()).toEqual(["close 1"]);
  });

  it("waits for as long as it was told if it is closed before", () => {
    rig.start();
    rig.opened(1);
    rig.machine.draining(1, rig.now, 3000);
    rig.pass(100);
    rig.lost(1);
    expect(rig.machine.due - rig.now).toBe(2900 + 500);
  });

  it("tries again beside the old link if the first attempt fails", () => {
    rig.start();
    rig.opened(1);
    rig.machine.draining(1, rig.now, 0);
    rig.pass(0);
    rig.lost(2);
    rig.pass(500);
    rig.opened(3);
    expect(rig.take()).toEqual(["open 1 by 0", "open 2 by 0", "open 3 by 0", "close 1"]);
  });
});

it("whatever happens, there are at most two links, the waits are bounded, and something is always due", () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 90_000 }) }),
    fc.record({
      type: fc.constantFrom(
        "opened" as const,
        "heard" as const,
        "online" as const,
        "visible" as const,
        "check" as const,
      ),
    }),
    fc.record({
      type: fc.constant("lost" as const),
      which: fc.boolean(),
      after: fc.option(fc.integer({ min: 0, max: 60_000 }), { nil: undefined }),
    }),
    fc.record({ type: fc.constant("draining" as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
    fc.record({ type: fc.constant("buffered" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (steps, luck) => {
      const world = new Rig();
      world.luck = luck;
      const open = new Set<number>();
      world.open = (link) => void open.add(link);
      world.close = (link) => void open.delete(link);
      world.ping = () => true;
      const { machine } = world;
      world.start();
      for (const one of steps) {
        const { current, next } = machine;
        if (one.type === "pass") world.pass(one.ms);
        else if (one.type === "opened") world.opened(next?.id ?? 0);
        else if (one.type === "heard") machine.heard(current?.id ?? 0, world.now);
        else if (one.type === "draining") machine.draining(current?.id ?? 0, world.now, one.ms);
        else if (one.type === "buffered") machine.buffered(current?.id ?? 0, world.now, [1, 2]);
        else if (one.type === "lost") {
          const link = one.which ? current?.id : next?.id;
          if (link !== undefined) open.delete(link);
          world.lost(link ?? 0, one.after === undefined ? {} : { after: one.after });
        } else machine[one.type](world.now);
        const known = [machine.current?.id, machine.next?.id].filter((id) => id !== undefined);
        expect([...open].sort()).toEqual(known.sort());
        expect(machine.due).toBeLessThanOrEqual(world.now + 120_000);
        if (!machine.current && !machine.next) expect(machine.due).toBeLessThan(Infinity);
      }
    }),
    { numRuns: 500 },
  );
});
