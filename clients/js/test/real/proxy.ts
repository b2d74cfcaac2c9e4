/** Something between client and server that holds back what comes through, as many do. */

import { createServer, request, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";

export class HoldingProxy {
  url = "";
  #server: HttpServer | undefined;

  /** Passes on to `target`; what an event stream tells comes in one piece every `holdMs`. WebSockets are not passed. */
  async start(target: string, holdMs: number): Promise<void> {
    const server = createServer((incoming, answer) => {
      const outgoing = request(
        target + incoming.url,
        { method: incoming.method, headers: incoming.headers },
        (response) => {
          answer.writeHead(response.statusCode!, response.headers);
          const isStream = response.headers["content-type"]?.startsWith("text/event-stream");
          if (!isStream) return void response.pipe(answer);
          // The head is passed on at once, so that the stream seems to be open.
          answer.flushHeaders();
          let held: Buffer[] = [];
          let isFirst = true;
          response.on("data", (piece: Buffer) => {
            if (isFirst) answer.write(piece);
            else held.push(piece);
            isFirst = false;
          });
          const timer = setInterval(() => answer.write(Buffer.concat(held.splice(0))), holdMs);
          response.on("close", () => {
            clearInterval(timer);
            held = [];
            answer.end();
          });
          answer.on("close", () => outgoing.destroy());
        },
      );
      outgoing.on("error", () => answer.destroy());
      incoming.pipe(outgoing);
    });
    server.on("upgrade", (_, socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }
}
