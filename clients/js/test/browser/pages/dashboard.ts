/** The dashboard on a fake client; `#tasks` many tasks, that a test can have move. */

import { Dashboard } from "../../../src/dashboard/dashboard.js";
import type { Snapshot } from "../../../src/types.js";
import { FakeClient, refusal, snapshotOf } from "../../support/fake-client.js";
import { failed, running } from "../../support/sample.js";

const asked = new URLSearchParams(location.search);
const count = Number(asked.get("tasks") ?? 12);

const client = new FakeClient();
const tasks = new Map<string, Snapshot>();
const names = ["Talking video", "Nightly export", "Photo import", "Index rebuild", "Invoice run"];
const kinds = ["video", "export", "photos", "search", "billing"];
const states = ["running", "running", "running", "queued", "running", "stalled", "running", "paused"] as const;
for (let index = 0; index < count; index++) {
  const id = `task-${index}`;
  const state = count > 100 ? "running" : (states[index % states.length] ?? "running");
  tasks.set(
    id,
    snapshotOf(id, {
      name: `${names[index % names.length]} ${index}`,
      kind: kinds[index % kinds.length] ?? null,
      labels: { user: String(index % 7) },
      state,
      progress: state === "queued" ? 0 : (index * 37) % 100,
      message: state === "queued" ? null : "Frame 120 of 400, of a message that is longer than the list is wide so that it has to be cut",
      eta_ms: state !== "running" ? null : ((index * 13) % 50) * 10_000 + 4_000,
      started_at: new Date(Date.UTC(2026, 10, 22, 16, 0, 0) - index * 60_000).toISOString(),
    }),
  );
}
const show = { running, failed };
for (const [id, fill] of [["task-0", show.running], ["task-1", show.failed]] as const) {
  fill(client.task(id));
  const { snapshot } = client.task(id);
  if (snapshot !== null) tasks.set(id, { ...snapshot, task_id: id, started_at: tasks.get(id)!.started_at });
}
for (const [id, snapshot] of tasks) if (client.task(id).snapshot === null) client.task(id).update(snapshot);

let allowed = asked.get("refuse") === null;
let status = Number(asked.get("refuse"));
client.answer = (path, init) => {
  if (path.startsWith("/tasks?")) {
    if (!allowed) {
      throw status === 401
        ? refusal("UNAUTHENTICATED", "it is not known who asks", 401)
        : refusal("FORBIDDEN", "this is not allowed", 403, ["Set an authorizer, or allow Open::listing()"]);
    }
    const query = new URLSearchParams(path.split("?")[1]);
    const active = query.get("state") === "active";
    const found = [...tasks.values()].filter(({ state }) => ["queued", "running", "paused", "stalled"].includes(state) === active);
    const from = Number(query.get("cursor") ?? 0);
    const limit = Number(query.get("limit"));
    return { tasks: found.slice(from, from + limit), ...(found.length > from + limit ? { next: String(from + limit) } : {}) };
  }
  if (init.method === "POST") throw refusal("FORBIDDEN", "this is not allowed", 403);
  throw refusal("TASK_NOT_FOUND", `there is no ${path}`, 404);
};

const dashboard = new Dashboard({
  url: "/",
  create: ({ getToken }) => {
    if (getToken?.() === "good") allowed = true;
    return client;
  },
});
document.body.append(dashboard.root);
dashboard.start();

let told = 0;
let seq = 1_000;

Object.assign(globalThis, {
  page: {
    client,
    tasks,
    /** Has every task move so often a second. */
    move(perSecond: number) {
      const channel = client.channel("_tasks");
      setInterval(() => {
        seq += 1;
        for (const [id, { epoch }] of tasks) {
          told += 1;
          channel.emit({
            task_id: id,
            epoch,
            seq,
            event_type: "progress_update",
            timestamp: new Date().toISOString(),
            data: { progress: (told / count) % 100, message: `Frame ${told}`, eta_ms: 40_000 },
          });
        }
      }, 1000 / perSecond);
    },
    tell(id: string, event_type: string, data: unknown) {
      seq += 1;
      const epoch = tasks.get(id)?.epoch ?? "1a2041bf600";
      client.channel("_tasks").emit({ task_id: id, epoch, seq, event_type, timestamp: new Date().toISOString(), data });
    },
    told: () => told,
  },
});
