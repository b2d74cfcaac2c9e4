/** What a test in a browser needs: a server, nginx before it, a browser, and tabs. */

import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, type BrowserContext, chromium, type Page, type WebSocket } from "playwright-core";
import { PROGRAM, Server, until } from "../../real/server.js";
import type { Settings, Watched } from "../pages/tab.js";
import { HAS_NGINX, Nginx, type Ways } from "./nginx.js";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Why these tests cannot run here; null if they can. */
export const MISSING = !PROGRAM
  ? "PROGRESS_SERVER is not set"
  : !HAS_NGINX
    ? "there is no nginx: set NGINX"
    : !existsSync(EXECUTABLE)
      ? "there is no Chromium: set CHROMIUM"
      : null;
if (MISSING) console.warn(`${MISSING}: no test in a browser against a real server`);

/** A connection, as the server knows it. */
export interface Client {
  readonly id: string;
  readonly transport: string;
  readonly topics: readonly { readonly task_id?: string; readonly channel?: string }[];
}

export interface Scene {
  /** Not yet started (default: open, with heartbeats each 2 s). */
  readonly server?: Server;
  readonly ways?: Ways;
  /** Scripts of `pages/` (default `tab`). */
  readonly pages?: readonly string[];
}

// Each page load and publication of a test is a request of one address.
const newServer = (): Server => new Server(["--open", "--heartbeat", "2s", "--max-requests", "0"]);

export class Stage {
  readonly server: Server;
  readonly nginx: Nginx;
  readonly #browser: Browser;
  readonly #pages: string;
  readonly #tabs: Tab[] = [];
  context: BrowserContext;

  private constructor(server: Server, nginx: Nginx, browser: Browser, context: BrowserContext, pages: string) {
    this.server = server;
    this.nginx = nginx;
    this.#browser = browser;
    this.context = context;
    this.#pages = pages;
  }

  static async open({ server = newServer(), ways = {}, pages = ["tab"] }: Scene = {}): Promise<Stage> {
    const dir = await mkdtemp(join(tmpdir(), "pages-"));
    await bundle(pages, dir);
    await server.start();
    const nginx = await Nginx.open(dir, server.url, ways);
    const browser = await chromium.launch({
      executablePath: EXECUTABLE,
      args: ["--no-sandbox"],
      ignoreDefaultArgs: ["--disable-back-forward-cache"],
    });
    return new Stage(server, nginx, browser, await browser.newContext(), dir);
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await this.nginx.close();
    await this.server.kill();
    await rm(this.#pages, { recursive: true, force: true });
  }

  /** Closes all tabs, and forgets what they share. */
  async clear(): Promise<void> {
    await this.context.close();
    this.#tabs.length = 0;
    this.context = await this.#browser.newContext();
    await this.clients(0);
  }

  /** Opens a tab that watches tasks. */
  async tab(
    ids: readonly string[] = [],
    settings: Settings = {},
    before?: (page: Page) => Promise<unknown>,
  ): Promise<Tab> {
    const tab = new Tab(await this.context.newPage());
    this.#tabs.push(tab);
    await before?.(tab.page);
    await tab.page.goto(`${this.nginx.origin}/pages/tab.html`);
    await tab.page.waitForFunction(() => "tab" in window);
    await tab.page.evaluate(
      ([settings, ids]) => {
        window.tab.start(settings);
        window.tab.watch(ids);
      },
      [settings, ids] as const,
    );
    return tab;
  }

  /** Whom the server serves; with a number, once they are so many. */
  async clients(count?: number, ms?: number): Promise<readonly Client[]> {
    const ask = async () => (await this.server.get<{ clients: Client[] }>("/clients")).clients;
    let clients = await ask();
    if (count === undefined) return clients;
    await until(`the server has ${count} connections`, async () => (clients = await ask()).length === count, ms);
    return clients;
  }

  /** The tabs that have the connection. */
  get leaders(): readonly Tab[] {
    return this.#tabs.filter(({ leads }) => leads);
  }
}

export class Tab {
  /** How many WebSockets it has ever opened, and how often it has asked for anything else, code too. */
  opened = 0;
  asked = 0;
  readonly problems: string[] = [];
  readonly #sockets = new Set<WebSocket>();

  constructor(readonly page: Page) {
    page.on("websocket", (socket) => {
      this.opened++;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    page.on("request", () => void this.asked++);
    page.on("pageerror", (error) => this.problems.push(String(error)));
    // Sockets of a page that is gone are not told of.
    for (const end of ["close", "crash", "domcontentloaded"] as const)
      page.on(end as "close", () => this.#sockets.clear());
  }

  /** Whether it has a WebSocket open. */
  get leads(): boolean {
    return this.#sockets.size > 0;
  }

  /** Waits until all its tasks are in a state; gives how long that took, in ms. */
  async are(state: Watched["connection"], timeout = 20_000): Promise<number> {
    const from = Date.now();
    try {
      await this.page.waitForFunction((state) => window.tab.are(state), state, { timeout, polling: 20 });
    } catch (error) {
      const now = await this.page.evaluate(() => ({
        link: window.tab.link(),
        tasks: Object.entries(window.tab.tasks()).map(([id, { states }]) => [id, states]),
      }));
      throw new Error(`not ${state} in ${timeout} ms: ${JSON.stringify(now)}`, { cause: error });
    }
    return Date.now() - from;
  }

  /** Waits until it has so many of the test's own events of a task. */
  async has(count: number, id: string, timeout = 20_000): Promise<void> {
    const steps = () =>
      this.page.evaluate((id) => window.tab.task(id).events.filter(({ n }) => n !== undefined).length, id);
    await until(`${count} events of ${id}`, async () => (await steps()) >= count, timeout);
  }

  watch(...ids: string[]): Promise<void> {
    return this.page.evaluate((ids) => window.tab.watch(ids), ids);
  }

  task(id: string): Promise<Watched> {
    return this.page.evaluate((id) => window.tab.task(id), id);
  }

  tasks(): Promise<Record<string, Watched>> {
    return this.page.evaluate(() => window.tab.tasks());
  }

  link() {
    return this.page.evaluate(() => window.tab.link());
  }
}

/** Puts the scripts of pages into a directory, split as the package is, and a page for each. */
async function bundle(names: readonly string[], dir: string): Promise<void> {
  await build({
    entryPoints: names.map((name) => fileURLToPath(new URL(`../pages/${name}.ts`, import.meta.url))),
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    outdir: dir,
    define: { "process.env.NODE_ENV": '"development"' },
  });
  for (const name of names) {
    const page = `<!doctype html><title>${name}</title><link rel="icon" href="data:,"><script type="module" src="${name}.js"></script>`;
    await writeFile(join(dir, `${name}.html`), page);
  }
  await writeFile(join(dir, "elsewhere.html"), "<!doctype html><title>elsewhere</title>");
}
