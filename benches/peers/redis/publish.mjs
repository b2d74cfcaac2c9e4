// What a service does that was written by hand: each event PUBLISHed on its task's channel, and a
// subscriber of all channels where somebody watches. AUTO_PIPELINE=1 has the client put the commands of
// one turn of its event loop into one write.
import { Redis } from "ioredis";

const channel = (task) => `progress:${task}`;

function connect(port, options) {
  const link = new Redis({ host: "127.0.0.1", port, ...options });
  // Without a listener, each lost connection is written to the standard error.
  link.on("error", () => {});
  return link;
}

export async function work(port) {
  const link = connect(port, { enableAutoPipelining: process.env.AUTO_PIPELINE === "1" });
  await link.ping();
  return { send: (task, event) => link.publish(channel(task), JSON.stringify(event)) };
}

export async function watch(port, tasks, seen) {
  const link = connect(port, {});
  link.on("message", (_channel, body) => seen(JSON.parse(body)));
  await link.subscribe(...Array.from({ length: tasks }, (_, n) => channel(n)));
}
