// One WebSocket to the node that served this page: the channel of projects, and the newest projects' tasks.
// A reconnect resumes each topic at the position that was last seen of it, on whichever node it lands.

const PROJECTS_SHOWN = 100; // as many as one command may subscribe to
const LINES_SHOWN = 50;
const COMMANDS_EVERY = 1_500; // a server takes 100 messages a minute from one client
const ENDS = ["completed", "failed", "cancelled", "abandoned"];

const projects = new Map(); // task id -> { row, position, subscribed }
const gone = new Set(); // ids of tasks to unsubscribe from
let channelPosition;
let retries = 0;
let lastCommand = -Infinity;
let nextCommand;

const state = document.querySelector("#state");
const list = document.querySelector("#projects");
const template = document.querySelector("#project");

function connect() {
  const url = new URL("/ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  let alive = watchdog(socket);
  socket.onopen = () => {
    retries = 0;
    state.textContent = "live";
    send(socket, "subscribe", [{ channel: "projects", after: channelPosition }]);
    gone.clear();
    for (const project of projects.values()) project.subscribed = false;
    update(socket);
  };
  socket.onmessage = ({ data }) => {
    alive();
    const frame = JSON.parse(data);
    if (frame.event_type === "heartbeat") {
      socket.send('{"type":"pong"}');
    } else if (frame.channel) {
      onProject(socket, frame);
    } else if (projects.has(frame.task_id)) {
      onTask(frame);
    }
  };
  socket.onclose = () => {
    alive(null);
    state.textContent = "connection lost, coming back…";
    const wait = Math.min(5_000, 250 * 2 ** retries++);
    setTimeout(connect, wait * (0.5 + Math.random() / 2));
  };
}

// Closes a connection on which nothing came for longer than two heartbeats; null ends it.
function watchdog(socket) {
  let timer;
  return (stop) => {
    clearTimeout(timer);
    if (stop !== null) timer = setTimeout(() => socket.close(), 65_000);
  };
}

function send(socket, type, topics) {
  if (topics.length > 0) socket.send(JSON.stringify({ type, topics }));
}

// Subscribes to what is new and unsubscribes from what is no longer shown: at once, or when it is time.
function update(socket) {
  const wait = lastCommand + COMMANDS_EVERY - performance.now();
  clearTimeout(nextCommand);
  nextCommand = setTimeout(() => {
    if (socket.readyState !== WebSocket.OPEN) return;
    lastCommand = performance.now();
    send(socket, "unsubscribe", [...gone].map((task_id) => ({ task_id })));
    gone.clear();
    const fresh = [...projects].filter(([, project]) => !project.subscribed);
    send(socket, "subscribe", fresh.map(([task_id, { position }]) => ({ task_id, after: position })));
    for (const [, project] of fresh) project.subscribed = true;
  }, Math.max(0, wait));
}

function forget(id) {
  const { row, subscribed } = projects.get(id);
  row.remove();
  projects.delete(id);
  if (subscribed) gone.add(id);
}

function onProject(socket, frame) {
  if (!frame.channel_seq) return;
  channelPosition = `${frame.channel_epoch}:${frame.channel_seq}`;
  const { project, title, worker } = frame.event.data;
  if (projects.has(project)) return;
  const row = template.content.firstElementChild.cloneNode(true);
  row.querySelector("h2").textContent = worker === "any" ? title : `${title} (${worker})`;
  list.prepend(row);
  projects.set(project, { row });
  if (projects.size > PROJECTS_SHOWN) forget(projects.keys().next().value);
  update(socket);
}

function onTask(frame) {
  const project = projects.get(frame.task_id);
  const { row } = project;
  const data = frame.data;
  if (frame.seq) project.position = `${frame.epoch}:${frame.seq}`;
  if (frame.event_type === "reset") project.position = undefined;
  if (data.snapshot) show(row, data.snapshot);
  switch (frame.event_type) {
    case "progress_update":
      show(row, data);
      break;
    case "log":
      log(row, data.level, data.message);
      break;
    case "error":
      log(row, "ERROR", `${data.code}: retry ${data.retry_count} of ${data.max_retries}`);
      break;
    case "complete":
      show(row, { ...data, state: data.status });
      result(row, data.result);
      break;
  }
}

// The present state: of a snapshot, an update, or an end.
function show(row, { progress, stage, message, eta_ms, state, error, cause }) {
  row.querySelector("progress").value = progress ?? 0;
  const left = eta_ms ? `${Math.ceil(eta_ms / 1000)} s left` : undefined;
  const words = ENDS.includes(state)
    ? [state, percent(progress), error?.message ?? cause]
    : [stage, percent(progress), left, message];
  row.querySelector(".about").textContent = words.filter(Boolean).join(" · ");
}

function percent(progress) {
  return `${(progress ?? 0).toFixed(1)} %`;
}

function log(row, level, message) {
  const line = document.createElement("li");
  line.className = level;
  line.textContent = `${level} ${message}`;
  const lines = row.querySelector(".log");
  lines.append(line);
  if (lines.children.length > LINES_SHOWN) lines.firstElementChild.remove();
  lines.scrollTop = lines.scrollHeight;
}

function result(row, value) {
  if (!value?.video_url) return;
  const film = new Image();
  film.src = value.video_url;
  film.alt = "the film";
  const by = document.createElement("small");
  by.textContent = `${value.frames} frames, ${value.bytes} bytes, by ${value.worker}`;
  row.querySelector(".result").replaceChildren(film, by);
}

document.querySelector("#wish").onsubmit = async (event) => {
  event.preventDefault();
  const wish = Object.fromEntries(new FormData(event.target));
  wish.scenes = Number(wish.scenes);
  wish.failures = Number(wish.failures);
  const answer = await fetch("/api/projects", { method: "POST", body: JSON.stringify(wish) });
  const body = await answer.json();
  state.textContent = answer.ok ? "live" : `${body.error.code}: ${body.error.message}`;
  if (answer.ok) event.target.elements.title.value = "";
};

connect();
