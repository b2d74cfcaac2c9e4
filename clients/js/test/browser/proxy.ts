import { readFile } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { POLICY } from "./harness.js";

const EMBED = fileURLToPath(new URL("../../dist/embed/", import.meta.url));

const PAGES: Readonly<Record<string, readonly [string, string]>> = {
  "/dashboard": ["dashboard.html", "text/html"],
  "/dashboard/dashboard.js": ["dashboard.js", "text/javascript"],
  "/dashboard/dashboard.css": ["dashboard.css", "text/css"],
  "/dashboard/progress-client.js": ["progress-client.js", "text/javascript"],
  "/progress-client.js": ["progress-client.js", "text/javascript"],
  "/progress-view.js": ["progress-view.js", "text/javascript"],
};

/** The dashboard, a page for elements and the routes of a server together under a prefix, as a service mounts them. */
export class Mount {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #upstream: URL;
  readonly #prefix: string;
  /** What a proxy of somebody else may not let through. */
  blocks = { sockets: false, streams: false };

  private constructor(upstream: string, prefix: string, scripts: ReadonlyMap<string, string>) {
    this.#upstream = new URL(upstream);
    this.#prefix = prefix;
    this.#server = createServer((incoming, outgoing) => {
      const path = this.#path(incoming.url);
      const script = path === "/page" ? "/progress-view.js" : `${path}.js`;
      if (path === "/page" || scripts.has(script)) {
        outgoing.writeHead(200, { "content-type": "text/html; charset=utf-8", "content-security-policy": POLICY });
        outgoing.end(`<!doctype html><title>A page</title><link rel="icon" href="data:,"><script type="module" src=".${script}"></script>`);
        return;
      }
      if (scripts.has(path)) {
        outgoing.writeHead(200, { "content-type": "text/javascript; charset=utf-8" });
        outgoing.end(scripts.get(path));
        return;
      }
      const page = PAGES[path.split("?")[0]!];
      if (page !== undefined) {
        void readFile(EMBED + page[0]).then((body) => {
          outgoing.writeHead(200, { "content-type": `${page[1]}; charset=utf-8`, "content-security-policy": POLICY });
          outgoing.end(body);
        });
        return;
      }
      if (this.blocks.streams && path.startsWith("/sse")) {
        outgoing.writeHead(502).end();
        return;
      }
      const { method, headers } = incoming;
      const onward = request(this.#upstream, { path, method: method ?? "GET", headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      onward.on("error", () => outgoing.destroy());
      outgoing.on("close", () => onward.destroy());
      incoming.pipe(onward);
    });
    this.#server.on("connection", (socket) => this.#keep(socket));
    this.#server.on("upgrade", ({ url, method, headers }, socket, head) => {
      if (this.blocks.sockets) {
        socket.end("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
        return;
      }
      const onward = connect(Number(this.#upstream.port), this.#upstream.hostname);
      this.#keep(onward);
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
      onward.write(`${method} ${this.#path(url)} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
      onward.write(head);
      onward.on("error", () => socket.destroy());
      socket.on("error", () => onward.destroy());
      onward.pipe(socket).pipe(onward);
    });
  }

  /** Serves also `scripts`, by path, each under the page `<path without .js>`. */
  static async open(upstream: string, prefix: string, scripts: ReadonlyMap<string, string> = new Map()): Promise<Mount> {
    const mount = new Mount(upstream, prefix, scripts);
    await new Promise<void>((resolve) => mount.#server.listen(0, "127.0.0.1", resolve));
    return mount;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#prefix}`;
  }

  /** Cuts all connections, as a lost network does; new ones go on. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #path(url = "/"): string {
    return url.startsWith(this.#prefix) ? url.slice(this.#prefix.length) || "/" : "/outside";
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
