import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Server as SocketServer } from "socket.io";

type Event = readonly [type: string, data?: unknown, key?: string];

/** A server as one would write it with `socket.io`: what is posted for a task it emits under that name, to all. */
export class Emitter {
  readonly #server: Server;
  readonly #sockets: SocketServer;

  private constructor(script: string) {
    this.#server = createServer((request, response) => {
      if (request.method === "POST") {
        let body = "";
        request.on("data", (piece) => (body += piece));
        request.on("end", () => {
          const { task, events } = JSON.parse(body) as { task: string; events: Event[] };
          for (const [event_type, data] of events) this.#sockets.emit(task, JSON.stringify({ event_type, data }));
          response.writeHead(202).end();
        });
        return;
      }
      const isScript = request.url === "/react.js";
      response.writeHead(200, { "content-type": `${isScript ? "text/javascript" : "text/html"}; charset=utf-8` });
      response.end(isScript ? script : '<!doctype html><title>react</title><script type="module" src="/react.js"></script>');
    });
    this.#sockets = new SocketServer(this.#server, { serveClient: false });
  }

  /** Serves a page with this script at `/react`. */
  static async open(script: string): Promise<Emitter> {
    const emitter = new Emitter(script);
    await new Promise<void>((resolve) => emitter.#server.listen(0, "127.0.0.1", resolve));
    return emitter;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async publish(task: string, ...events: readonly Event[]): Promise<void> {
    await fetch(this.url, { method: "POST", body: JSON.stringify({ task, events }) });
  }

  async close(): Promise<void> {
    await this.#sockets.close();
  }
}
