// The channel of projects, and the newest projects' tasks, watched by the client that every node serves. What a node
// that ends or a tab that sleeps asks of a page is the client's business.

import { createProgressClient } from "./dashboard/progress-client.js";

const PROJECTS_SHOWN = 100;
const LINES_SHOWN = 50;
const ENDS = ["completed", "failed", "cancelled", "abandoned"];
const ASK_AGAIN_MS = 2_000;

const CONNECTIONS = {
  idle: "connecting…",
  connecting: "connecting…",
  live: "live",
  resyncing: "catching up…",
  polling: "live, by asking again and again",
  stale: "connection lost, coming back…",
  ended: "the connection has ended",
};

const client = createProgressClient({ url: "/", logLines: LINES_SHOWN });
const projects = new Map(); // task id -> { row, stop }
let newest; // the event of the newest project

const state = document.querySelector("#state");
const list = document.querySelector("#projects");
const template = document.querySelector("#project");

function showConnection() {
  const { connection } = client;
  if (state.dataset.connection === connection) return;
  state.dataset.connection = connection;
  state.textContent = CONNECTIONS[connection];
}

function addProjects({ events }) {
  const fresh = events.slice(events.lastIndexOf(newest) + 1);
  newest = events.at(-1);
  for (const { event } of fresh) addProject(event.data);
}

function addProject({ project: id, title, worker }) {
  if (projects.has(id)) return;
  const row = template.content.firstElementChild.cloneNode(true);
  row.querySelector("h2").textContent = worker === "any" ? title : `${title} (${worker})`;
  row.querySelector("progress").setAttribute("aria-label", title);
  row.querySelector(".log").setAttribute("aria-label", `Log of ${title}`);
  list.prepend(row);
  const project = { row, stop() {} };
  projects.set(id, project);
  watch(id, project);
  if (projects.size > PROJECTS_SHOWN) forget(projects.keys().next().value);
}

function watch(id, project) {
  let timer;
  const stop = client.task(id).subscribe((view) => {
    show(project.row, view);
    if (timer === undefined && isAwaited(view)) {
      // The client lets go of a watch that nobody wants, and asks anew.
      queueMicrotask(() => stop());
      timer = setTimeout(() => watch(id, project), ASK_AGAIN_MS);
    }
  });
  project.stop = () => {
    stop();
    clearTimeout(timer);
  };
}

// Whether another run is to come: it waits for a worker for longer than a server waits for its task, or its worker is
// gone and another one will begin it anew.
function isAwaited({ snapshot, error }) {
  return snapshot ? snapshot.state === "abandoned" : error?.code === "TASK_NOT_FOUND";
}

function forget(id) {
  const { row, stop } = projects.get(id);
  stop();
  row.remove();
  projects.delete(id);
}

function show(row, view) {
  const { snapshot, logs } = view;
  const error = isAwaited(view) ? null : view.error;
  if (error) row.querySelector(".about").textContent = `${error.code}: ${error.message}`;
  if (!snapshot) return;
  const { progress, stage, message, eta_ms, cause, last_error } = snapshot;
  row.querySelector("progress").value = progress;
  const left = eta_ms ? `${Math.ceil(eta_ms / 1000)} s left` : undefined;
  const words = ENDS.includes(snapshot.state)
    ? [snapshot.state, percent(progress), snapshot.error?.message ?? cause]
    : [stage, percent(progress), left, message];
  if (!error) row.querySelector(".about").textContent = words.filter(Boolean).join(" · ");
  showTrouble(row.querySelector(".trouble"), last_error);
  showLogs(row.querySelector(".log"), snapshot.epoch, logs);
  showResult(row.querySelector(".result"), snapshot.result);
}

// The last error that the task went on after.
function showTrouble(place, error) {
  const tries = error?.max_retries ? `: retry ${error.retry_count} of ${error.max_retries}` : "";
  const text = error ? `${error.code}${tries}` : "";
  if (place.textContent !== text) place.textContent = text;
}

function percent(progress) {
  return `${progress.toFixed(1)} %`;
}

// Appends what is new, and takes away what is no more among the newest, or of a run before this one.
function showLogs(place, epoch, logs) {
  if (place.dataset.epoch !== epoch) place.replaceChildren();
  place.dataset.epoch = epoch;
  const shown = Number(place.lastElementChild?.dataset.n ?? 0);
  const fresh = logs.filter(({ n }) => n > shown);
  if (fresh.length === 0) return;
  place.append(...fresh.map(line));
  while (place.children.length > LINES_SHOWN) place.firstElementChild.remove();
  place.scrollTop = place.scrollHeight;
}

function line({ n, level, message }) {
  const item = document.createElement("li");
  item.className = level;
  item.dataset.n = n;
  item.textContent = `${level} ${message}`;
  return item;
}

function showResult(place, result) {
  if (!result?.video_url || place.dataset.url === result.video_url) return;
  place.dataset.url = result.video_url;
  const film = new Image();
  film.src = result.video_url;
  film.alt = "the film";
  const by = document.createElement("small");
  by.textContent = `${result.frames} frames, ${result.bytes} bytes, by ${result.worker}`;
  place.replaceChildren(film, by);
}

document.querySelector("#wish").onsubmit = async (event) => {
  event.preventDefault();
  const wish = Object.fromEntries(new FormData(event.target));
  wish.scenes = Number(wish.scenes);
  wish.failures = Number(wish.failures);
  const answer = await fetch("/api/projects", { method: "POST", body: JSON.stringify(wish) });
  const body = await answer.json();
  state.textContent = answer.ok ? CONNECTIONS[client.connection] : `${body.error.code}: ${body.error.message}`;
  if (answer.ok) event.target.elements.title.value = "";
};

client.subscribe(showConnection);
client.channel("projects", { replay: "all" }).subscribe(addProjects);
