/** nginx as docs/deploy has it, in front of a server and of the pages that the tests look at. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Server as TcpServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "../../real/server.js";

const PROGRAM = process.env.NGINX ?? "/usr/sbin/nginx";

/** Whether there is an nginx; without one these tests are skipped. */
export const HAS_NGINX = existsSync(PROGRAM);

export interface Ways {
  /**
   * Whether what a server sends is held back until a buffer is full: `off`, as we recommend; `asked`, unless the
   * server asks for something else, as without any setting; or `on`, whatever it asks for.
   */
  readonly buffering?: "off" | "asked" | "on";
  /** What becomes of WebSockets: `open`, answered 403, or their upgrade is never answered. */
  readonly websockets?: "open" | "forbidden" | "hanging";
}

export class Nginx {
  readonly #dir: string;
  readonly #pages: string;
  readonly #upstream: string;
  readonly #hole: TcpServer;
  readonly #port: number;
  #child: ChildProcess | undefined;

  private constructor(dir: string, pages: string, upstream: string, port: number, hole: TcpServer) {
    this.#dir = dir;
    this.#pages = pages;
    this.#upstream = upstream;
    this.#port = port;
    this.#hole = hole;
  }

  /** Serves the files of a directory under `/pages/`, and a server's routes. */
  static async open(pages: string, upstream: string, ways: Ways = {}): Promise<Nginx> {
    const dir = await mkdtemp(join(tmpdir(), "nginx-"));
    // Takes connections, and says nothing.
    const hole = createServer((socket) => socket.on("error", () => {}));
    hole.listen(0, "127.0.0.1");
    await once(hole, "listening");
    const nginx = new Nginx(dir, pages, new URL(upstream).host, await freePort(), hole);
    await nginx.start(ways);
    return nginx;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts it, on the same port as before. */
  async start(ways: Ways = {}): Promise<void> {
    await writeFile(join(this.#dir, "nginx.conf"), this.#conf(ways));
    const child = spawn(PROGRAM, ["-p", this.#dir, "-e", "stderr", "-c", join(this.#dir, "nginx.conf")], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    this.#child = child;
    await until("nginx listens", () => {
      if (child.exitCode !== null) throw new Error("nginx has ended");
      return isOpen(this.#port);
    });
  }

  /** Ends it, and every connection through it. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async restart(ways: Ways = {}): Promise<void> {
    await this.stop();
    await this.start(ways);
  }

  async close(): Promise<void> {
    await this.stop();
    this.#hole.close();
    await rm(this.#dir, { recursive: true, force: true });
  }

  #conf({ buffering = "off", websockets = "open" }: Ways): string {
    const file = readFileSync(fileURLToPath(new URL("../../../../../docs/deploy/nginx.conf", import.meta.url)), "utf8");
    const map = cut(file, /^map \$http_upgrade[^}]*\}/m);
    // From what a request may be to the last of the locations.
    let said = cut(file, /^ {4}client_max_body_size[\s\S]*(?=^\})/m);
    if (buffering !== "off") {
      said = said.replace(
        cut(said, /proxy_buffering +off;/),
        "proxy_buffering on; proxy_buffer_size 8k; proxy_buffers 8 8k;",
      );
      // As it speaks by itself. What comes in chunks is passed on chunk by chunk.
      said = said.replace(cut(said, /proxy_http_version 1.1;/), "proxy_http_version 1.0;");
      said = said.replace(cut(said, /proxy_set_header Connection .*;/), "proxy_set_header Connection close;");
    }
    if (buffering === "on") said += "proxy_ignore_headers X-Accel-Buffering;";
    const hole = `127.0.0.1:${(this.#hole.address() as AddressInfo).port}`;
    const sockets = {
      open: "",
      forbidden: "location /ws { return 403; }",
      hanging: `location /ws { proxy_pass http://${hole}; }`,
    };
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${this.#dir}/${name};`,
    );
    // One process, which ends with all its connections.
    return `
daemon off;
master_process off;
pid ${this.#dir}/nginx.pid;
error_log ${this.#dir}/error.log crit;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary.join(" ")}
  types { text/html html; text/javascript js; }
  upstream progress { server ${this.#upstream} max_fails=0; keepalive 64; }
  ${map}
  server {
    listen 127.0.0.1:${this.#port};
    location /pages/ { alias ${this.#pages}/; add_header Cache-Control no-cache; }
    ${sockets[websockets]}
    ${said}
  }
}
`;
  }
}

/** A part of the recommended file; it has to be there. */
function cut(text: string, part: RegExp): string {
  const found = part.exec(text);
  if (!found) throw new Error(`docs/deploy/nginx.conf has no ${part.source}`);
  return found[0];
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
