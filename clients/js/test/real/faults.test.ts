import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EventSource } from "eventsource";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { createProgressClient, type ConnectionState, type ProgressClient, type Snapshot } from "../../src/index.js";
import { HoldingProxy } from "./proxy.js";
import { PROGRAM, Server, until } from "./server.js";

if (!PROGRAM) console.warn("PROGRESS_SERVER is not set: no test against a real server");
Object.assign(globalThis, { WebSocket, EventSource });

const open: { close(): void }[] = [];
const servers: Server[] = [];
afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await Promise.all(servers.splice(0).map((server) => server.kill()));
});

const startServer = async (...flags: string[]): Promise<Server> => {
  const server = new Server(flags);
  servers.push(server);
  await server.start();
  return server;
};

const newClient = (options: Parameters<typeof createProgressClient>[0]): ProgressClient => {
  const client = createProgressClient({ backoff: { min: 50, max: 300 }, ...options });
  open.push(client);
  return client;
};

describe.skipIf(!PROGRAM)("a real server", () => {
  it.each(["websocket", "fetch-sse", "event-source", "poll"] as const)(
    "that is killed and started again is followed into its new run, by %s",
    async (transport) => {
      const server = await startServer("--open", "--heartbeat", "1s");
      await server.post("/tasks", { task_id: "t" });
      const client = newClient({ url: server.url, transports: [transport] });
      const states: ConnectionState[] = [];
      const ends: unknown[] = [];
      const task = client.task("t", {
        onComplete: (result) => ends.push(result),
        onError: ({ code }) => ends.push(code),
      });
      task.subscribe(({ connection }) => states.at(-1) !== connection && states.push(connection));
      await until("it is there", () => task.snapshot !== null);
      await server.publish("t", ["progress_update", { progress: 70 }]);
      await until("it has come", () => task.snapshot!.progress === 70);
      const { epoch } = task.snapshot!;
      await server.kill();
      await until("it is noticed", () => task.connection === "stale");
      expect(task.snapshot!.progress).toBe(70);
      await server.start();
      await server.post("/tasks", { task_id: "t" });
      await server.publish("t", ["progress_update", { progress: 5 }]);
      await until("the new run is shown", () => task.snapshot!.epoch !== epoch && task.snapshot!.progress === 5);
      await server.publish("t", ["complete", { status: "completed", result: 7 }]);
      await until("it has ended", () => task.connection === "ended");
      expect(ends).toEqual([7]);
      expect(states).toContain("stale");
      expect(task.snapshot).toMatchObject({ seq: (await server.get<Snapshot>("/tasks/t")).seq, state: "completed" });
    },
    60_000,
  );

  it.each([
    ["for a while, which bursts tell", "2s", 3_000, ["fetch-sse", "poll"]],
    ["for ever, which their silence tells", "1s", 3_600_000, ["fetch-sse", "event-source", "poll"]],
  ] as const)(
    "behind a proxy that holds streams back %s, is polled, and nothing is missed",
    async (_, heartbeat, holdMs, way) => {
      const server = await startServer("--open", "--heartbeat", heartbeat);
      const proxy = new HoldingProxy();
      await proxy.start(server.url, holdMs);
      open.push({ close: () => proxy.stop() });
      await server.post("/tasks", { task_id: "t" });
      const client = newClient({ url: proxy.url });
      const seqs: number[] = [];
      const transports: (string | null)[] = [];
      client.subscribe(
        () => client.transport && transports.at(-1) !== client.transport && transports.push(client.transport),
      );
      const task = client.task("t", { onEvent: ({ seq }) => seqs.push(seq) });
      task.subscribe(() => {});
      let published = 1;
      await until(
        "it is polled",
        async () => {
          await server.publish("t", ["step", { n: published++ }]);
          await new Promise((resolve) => setTimeout(resolve, 100));
          return client.transport === "poll";
        },
        30_000,
      );
      await until("all has come", () => seqs.length === published);
      expect(seqs).toEqual(Array.from({ length: published }, (_, at) => at + 1));
      expect(transports).toEqual(way);
    },
    40_000,
  );

  it.each(["websocket", "fetch-sse", "event-source"] as const)(
    "that drains is left in time, and found again, by %s",
    async (transport) => {
      const server = await startServer("--open", "--drain", "1s", "--drain-deadline", "3s");
      await server.post("/tasks", { task_id: "t" });
      const client = newClient({ url: server.url, transports: [transport] });
      const task = client.task("t");
      task.subscribe(() => {});
      await until("it is there", () => task.connection === "live");
      const gone = server.kill("SIGTERM");
      await until("it is noticed", () => task.connection === "stale");
      await gone;
      await server.start();
      await server.post("/tasks", { task_id: "t", name: "again" });
      await until("it is back", () => task.connection === "live" && task.snapshot?.name === "again");
    },
  );

  it("with half of its ways blocked is reached by another", async () => {
    const server = await startServer("--open");
    await server.post("/tasks", { task_id: "t" });
    class Blocked {
      onclose: ((event: { code: number; reason: string }) => void) | undefined;
      constructor() {
        setTimeout(() => this.onclose?.({ code: 1006, reason: "" }), 1);
      }
      close(): void {}
    }
    globalThis.WebSocket = Blocked as never;
    try {
      const client = newClient({ url: server.url });
      const task = client.task("t");
      task.subscribe(() => {});
      await until("another is taken", () => client.transport === "fetch-sse" && task.connection === "live");
    } finally {
      globalThis.WebSocket = WebSocket as never;
    }
  });

  describe("that knows its users", () => {
    const secret = Buffer.alloc(32, 7);
    /** The server takes a token for so many seconds after its end. */
    const LEEWAY_S = 30;
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const token = (seconds: number, claims: object = { roles: ["admin"] }): string => {
      const now = Math.floor(Date.now() / 1000);
      const body = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: "u", exp: now + seconds - LEEWAY_S, ...claims })}`;
      return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
    };

    const startWithUsers = async (): Promise<Server> => {
      folder ??= await mkdtemp(join(tmpdir(), "progress-"));
      const jwks = join(folder, "jwks.json");
      await writeFile(jwks, JSON.stringify({ keys: [{ kty: "oct", alg: "HS256", k: secret.toString("base64url") }] }));
      return startServer("--jwks", jwks, "--heartbeat", "1s");
    };
    let folder: string | undefined;
    afterAll(() => folder && rm(folder, { recursive: true }));

    it.each(["websocket", "fetch-sse", "poll"] as const)(
      "closes a connection whose token has ended, which comes back with the next and misses nothing, by %s",
      async (transport) => {
        const server = await startWithUsers();
        const auth = { authorization: `Bearer ${token(300)}` };
        await server.post("/tasks", { task_id: "t" }, auth);
        let tokens = 0;
        const client = newClient({
          url: server.url,
          transports: [transport],
          getToken: () => {
            tokens++;
            return token(3);
          },
        });
        const seqs: number[] = [];
        const codes: string[] = [];
        const task = client.task("t", {
          onEvent: ({ seq }) => seqs.push(seq),
          onError: ({ code }) => codes.push(code),
        });
        task.subscribe(() => {});
        await until("it is there", () => task.snapshot !== null);
        for (let n = 0; n < 40; n++) {
          await server.post("/tasks/t/events", { event_type: "step", data: { n } }, auth);
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
        await server.post("/tasks/t/events", { event_type: "complete", data: { status: "completed" } }, auth);
        await until("it has ended", () => task.connection === "ended");
        expect(codes).toEqual([]);
        expect(tokens).toBeGreaterThan(1);
        expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, at) => at + 1));
        expect(seqs).toHaveLength(42);
      },
      40_000,
    );

    it.each(["websocket", "fetch-sse", "poll"] as const)(
      "refuses who may not watch, and says so, by %s",
      async (transport) => {
        const server = await startWithUsers();
        await server.post("/tasks", { task_id: "t" }, { authorization: `Bearer ${token(300)}` });
        const codes: string[] = [];
        const tell = { onError: ({ code }: { code: string }) => codes.push(code) };
        const stranger = newClient({ url: server.url, transports: [transport], getToken: () => "nonsense" });
        stranger.task("t", tell).subscribe(() => {});
        await until("the stranger is refused", () => codes.length === 1);
        const other = newClient({
          url: server.url,
          transports: [transport],
          getToken: () => token(300, { tasks: ["others-*"] }),
        });
        other.task("t", { ...tell }).subscribe(() => {});
        await until("the other is refused", () => codes.length === 2);
        expect(codes).toEqual(["UNAUTHENTICATED", "FORBIDDEN"]);
      },
    );

    it("hears a token in no URL, also not where a header cannot be sent", async () => {
      const server = await startWithUsers();
      const urls: string[] = [];
      globalThis.EventSource = class extends EventSource {
        constructor(url: string) {
          urls.push(url);
          super(url);
        }
      } as never;
      try {
        const client = newClient({ url: server.url, transports: ["event-source"], getToken: () => "secret" });
        const codes: string[] = [];
        client.task("t", { onError: ({ code }) => codes.push(code) }).subscribe(() => {});
        await until("it is refused", () => codes.length === 1);
        expect(codes).toEqual(["UNAUTHENTICATED"]);
        expect(urls).toHaveLength(2);
        expect(urls.filter((url) => url.includes("secret"))).toEqual([]);
      } finally {
        globalThis.EventSource = EventSource as never;
      }
    });

    it("says why a request was refused", async () => {
      const server = await startWithUsers();
      const client = newClient({ url: server.url, getToken: () => token(300, { roles: ["viewer"] }) });
      await expect(client.request("/tasks", { method: "POST", body: {} })).rejects.toMatchObject({
        name: "ProgressError",
        code: "FORBIDDEN",
        status: 403,
      });
      await expect(client.task("t").cancel()).rejects.toMatchObject({ code: "FORBIDDEN" });
      expect(await client.request("/tasks")).toMatchObject({ tasks: [] });
    });
  });
});
