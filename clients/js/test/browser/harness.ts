import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, type BrowserContextOptions, type CDPSession, chromium, type Page } from "playwright-core";
import { expect } from "vitest";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Whether there is a browser; without one the tests that need it are skipped. */
export const HAS_BROWSER = existsSync(EXECUTABLE);
if (!HAS_BROWSER) console.warn(`no Chromium at ${EXECUTABLE}: set CHROMIUM; tests in a browser are skipped`);

/** What the dashboard's page is served with. */
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Pages of `pages/`, each under its name, with a strict policy; and a browser to look at them. */
export class Harness {
  readonly #files = new Map<string, { type: string; body: string }>();
  #server: Server | undefined;
  #browser: Browser | undefined;
  origin = "";

  /** Bundles the scripts of these pages and serves them. */
  async start(names: readonly string[]): Promise<void> {
    const { outputFiles } = await build({
      entryPoints: names.map((name) => here(`pages/${name}.ts`)),
      bundle: true,
      write: false,
      format: "esm",
      target: "es2022",
      outdir: "/",
      define: { "process.env.NODE_ENV": '"development"' },
    });
    for (const { path, text } of outputFiles) this.#files.set(path, { type: "text/javascript", body: text });
    const css = await readFile(here("../../src/dashboard/dashboard.css"), "utf8");
    this.#files.set("/dashboard.css", { type: "text/css", body: css });
    for (const name of names) {
      const style = name === "dashboard" ? '<link rel="stylesheet" href="/dashboard.css">' : '<link rel="stylesheet" href="/page.css">';
      const body = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${name}</title><link rel="icon" href="data:,">${style}<script type="module" src="/${name}.js"></script></head><body></body></html>`;
      this.#files.set(`/${name}`, { type: "text/html", body });
    }
    this.#files.set("/page.css", {
      type: "text/css",
      body: ":root{color-scheme:light dark;background:light-dark(#fff,#14171d)} body{margin:16px;max-width:44rem} main{display:grid;gap:12px} h1{font:600 18px system-ui;color:light-dark(#111,#eee)}",
    });
    this.#server = createServer((request, response) => {
      const file = this.#files.get(new URL(request.url ?? "/", "http://host").pathname);
      response.writeHead(file === undefined ? 404 : 200, {
        "content-type": `${file?.type ?? "text/plain"}; charset=utf-8`,
        "content-security-policy": POLICY,
      });
      response.end(file?.body);
    });
    await new Promise<void>((resolve) => this.#server!.listen(0, "127.0.0.1", resolve));
    this.origin = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    this.#browser = await chromium.launch({ executablePath: EXECUTABLE, args: ["--no-sandbox", "--js-flags=--expose-gc"] });
  }

  async stop(): Promise<void> {
    await this.#browser?.close();
    await new Promise((resolve) => (this.#server ? this.#server.close(resolve) : resolve(null)));
  }

  /** The scripts of the pages, by path. */
  get scripts(): ReadonlyMap<string, string> {
    const scripts = [...this.#files].filter(([, { type }]) => type === "text/javascript");
    return new Map(scripts.map(([path, { body }]) => [path, body]));
  }

  /** Opens a page; whatever it says of errors, or of its policy, is collected. */
  async open(path: string, options: BrowserContextOptions = {}): Promise<{ page: Page; problems: string[] }> {
    const context = await this.#browser!.newContext(options);
    const page = await context.newPage();
    page.setDefaultTimeout(8_000);
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    await page.goto(path.startsWith("http") ? path : this.origin + path);
    return { page, problems };
  }
}

/** What axe-core finds wrong, in words. */
export async function violations(page: Page): Promise<string[]> {
  const axe = await readFile(here("../../node_modules/axe-core/axe.min.js"), "utf8");
  // A policy that forbids scripts in the page does not forbid those of its tester.
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; help: string; nodes: { html: string }[] }[] }> } };
    const { violations } = await axe.run();
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" | ")}`);
  });
}

export interface Load {
  /** Of the time, what the main thread was busy. */
  readonly share: number;
  /** The longest task, in ms; 0 if none was longer than 50. */
  readonly longest: number;
}

/** What was found; `cpu` is what of the share the thread really ran, and not waited for a processor. */
export interface Found extends Load {
  readonly cpu: number;
  /** Whether it waited so much that `share` and `longest` tell of the machine, and not of the page. */
  readonly starved: boolean;
}

/** A thread that is busy for longer than it runs, by this factor, has waited for others. */
const STARVED = 1.3;

/**
 * The main thread's work in a span, measured up to three times until it is within the bounds: what else this
 * machine does only ever makes it more.
 */
export async function load(page: Page, ms: number, bounds: Load): Promise<Found> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "timeTicks" });
  await page.evaluate(() => {
    const longest = { ms: 0 };
    Object.assign(globalThis, { longest });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest.ms = Math.max(longest.ms, duration);
    }).observe({ type: "longtask" });
  });
  const busy = async () => {
    const { metrics } = await cdp.send("Performance.getMetrics");
    const value = (name: string) => metrics.find((metric) => metric.name === name)!.value;
    return { busy: value("TaskDuration"), ran: value("ThreadTime"), at: value("Timestamp") };
  };
  let found: Found = { share: 1, cpu: 1, longest: Infinity, starved: false };
  for (let times = 0; times < 3 && (found.share >= bounds.share || found.longest >= bounds.longest); times++) {
    await page.evaluate(() => ((globalThis as any).longest.ms = 0));
    const before = await busy();
    await page.waitForTimeout(ms);
    const after = await busy();
    const longest = await page.evaluate(() => (globalThis as any).longest.ms as number);
    const [share, cpu] = [after.busy - before.busy, after.ran - before.ran].map((spent) => spent / (after.at - before.at)) as [number, number];
    found = { share, cpu, longest, starved: share > STARVED * cpu };
  }
  return found;
}

/** Fails where the page does too much; of a starved one only what it really ran is known. */
export function expectWithin({ share, cpu, longest, starved }: Found, bounds: Load): void {
  expect(cpu).toBeLessThan(bounds.share);
  if (starved) return console.warn("the machine does too much else to measure how long tasks take");
  expect(share).toBeLessThan(bounds.share);
  expect(longest).toBeLessThan(bounds.longest);
}

/** How busy the main thread was, in words. */
export function inWords({ share, cpu, longest }: Found): string {
  return `main thread ${(share * 100).toFixed(1)} % (${(cpu * 100).toFixed(1)} % of a processor), longest task ${longest.toFixed(0)} ms`;
}

/** Bytes of the heap, after a collection. */
export async function heap(cdp: CDPSession): Promise<number> {
  for (let times = 0; times < 3; times++) await cdp.send("HeapProfiler.collectGarbage");
  await cdp.send("Performance.enable", {});
  const { metrics } = await cdp.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "JSHeapUsedSize")!.value;
}
