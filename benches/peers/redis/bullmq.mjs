// What a service does that has its work in BullMQ: `job.updateProgress`, and `QueueEvents` where
// somebody watches.
import { Queue, QueueEvents, Worker } from "bullmq";

const QUEUE = "work";

/** Takes so many jobs and keeps them active. */
export async function work(port, tasks) {
  const connection = { host: "127.0.0.1", port };
  const queue = new Queue(QUEUE, { connection });
  queue.on("error", () => {});
  const jobs = [];
  await new Promise((ready) => {
    const worker = new Worker(
      QUEUE,
      (job) => {
        if (jobs.push(job) === tasks) ready();
        // It lasts as long as this process.
        return new Promise(() => {});
      },
      { connection, concurrency: tasks },
    );
    // Without a listener, a lost connection would end the process.
    worker.on("error", () => {});
    const names = Array.from({ length: tasks }, (_, n) => ({ name: `task-${n}`, data: {} }));
    queue.addBulk(names);
  });
  return { send: (task, event) => jobs[task].updateProgress(event) };
}

export async function watch(port, _tasks, seen) {
  const events = new QueueEvents(QUEUE, { connection: { host: "127.0.0.1", port } });
  events.on("error", () => {});
  events.on("progress", ({ data }) => seen(data));
  await events.waitUntilReady();
}
