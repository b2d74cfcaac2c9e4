import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Server, until } from "../real/server.js";
import type { Settings } from "./pages/tab.js";
import { grantFor, keyFlags, tokenFor } from "./support/keys.js";
import { MISSING, Stage, type Tab } from "./support/stage.js";
import { expectSteps, Worker } from "./support/work.js";

/** A server to which its operator speaks. */
class Guarded extends Server {
  override async post(path: string, body: unknown): Promise<unknown> {
    return super.post(path, body, { authorization: `Bearer ${tokenFor(600, "admin")}` });
  }

  override async get<T>(path: string): Promise<T> {
    return (
      await fetch(this.url + path, { headers: { authorization: `Bearer ${tokenFor(600, "admin")}` } })
    ).json() as Promise<T>;
  }
}

describe.skipIf(MISSING)("credentials", () => {
  let stage: Stage;
  let worker: Worker;
  let remove: () => Promise<void>;
  beforeAll(async () => {
    const keys = await keyFlags();
    remove = keys.remove;
    stage = await Stage.open({ server: new Guarded(keys.flags) });
    worker = new Worker(stage.server);
  });
  afterAll(async () => {
    await stage?.close();
    await remove?.();
  });
  afterEach(() => stage.clear());

  /** A tab whose tokens and grants are these; how often it has asked. */
  const open = async (id: string, settings: Settings, token: () => string): Promise<{ tab: Tab; asked(): number }> => {
    let asked = 0;
    const give = (): string => {
      asked++;
      return token();
    };
    const before = async (page: Page): Promise<void> => {
      await page.exposeFunction("token", give);
      await page.exposeFunction("grant", give);
    };
    return { tab: await stage.tab([id], settings, before), asked: () => asked };
  };

  it.each(["websocket", "fetch-sse", "event-source"] as const)(
    "that end while a task is watched are renewed, and %s goes on where it was",
    async (transport) => {
      const id = `expiring-${transport}`;
      await worker.begin(id);
      const isGrant = transport === "event-source";
      const settings: Settings = { transports: [transport], ...(isGrant ? { hasGrant: true } : { hasToken: true }) };
      const { tab, asked } = await open(id, settings, () => (isGrant ? grantFor(id, 7) : tokenFor(7)));
      await tab.are("live");
      expect(asked()).toBe(1);
      const stop = worker.keepOn(id);
      await until("others were asked for, twice", () => asked() >= 3, 40_000);
      await tab.are("live");
      await stop();
      await worker.complete(id);
      await tab.are("ended");
      const { events, completes, errors } = await tab.task(id);
      expectSteps(events, worker.told(id));
      expect([completes, errors]).toEqual([[id], []]);
      // One for each time that they ended, and not one for each request that was refused.
      expect(asked()).toBeLessThanOrEqual(4);
    },
  );

  it("are never in a URL", async () => {
    await worker.begin("secret");
    const token = tokenFor(600);
    for (const transport of ["websocket", "fetch-sse", "poll"] as const) {
      const urls: string[] = [];
      const { tab } = await open("secret", { transports: [transport], hasToken: true, share: transport }, () => token);
      tab.page.on("request", (request) => urls.push(request.url()));
      tab.page.on("websocket", (socket) => urls.push(socket.url()));
      await tab.are(transport === "poll" ? "polling" : "live");
      await tab.page.close();
      expect(urls.filter((url) => url.includes(token))).toEqual([]);
    }
  });

  it.each(["websocket", "fetch-sse", "poll"] as const)(
    "that are refused for good end the watch over %s with one error, after one more try",
    async (transport) => {
      const id = `refused-${transport}`;
      await worker.begin(id);
      const { tab, asked } = await open(id, { transports: [transport], hasToken: true }, () => tokenFor(-10));
      await tab.are("ended");
      const { errors, completes, snapshot } = await tab.task(id);
      expect([errors, completes, snapshot]).toEqual([["UNAUTHENTICATED"], [], null]);
      expect(asked()).toBe(2);
      await stage.clients(0);
    },
  );

  it("that are refused once are asked for anew", async () => {
    await worker.begin("second");
    let times = 0;
    const { tab } = await open("second", { transports: ["websocket"], hasToken: true }, () =>
      tokenFor(times++ ? 600 : -10),
    );
    await tab.are("live");
    await worker.complete("second");
    await tab.are("ended");
    expect((await tab.task("second")).completes).toEqual(["second"]);
  });

  it("that end for a tab which leads are renewed for all tabs", async () => {
    await worker.begin("shared");
    const first = await open("shared", { hasToken: true }, () => tokenFor(7));
    const second = await open("shared", { hasToken: true }, () => tokenFor(7));
    for (const { tab } of [first, second]) await tab.are("live");
    const stop = worker.keepOn("shared");
    await until("another was asked for", () => first.asked() + second.asked() >= 2);
    await stop();
    await worker.complete("shared");
    for (const { tab } of [first, second]) {
      await tab.are("ended");
      const { events, errors } = await tab.task("shared");
      expectSteps(events, worker.told("shared"));
      expect(errors).toEqual([]);
    }
  });
});
