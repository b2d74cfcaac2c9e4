// The state of one task, folded from the frames of progress.v1: a snapshot, then the events after it.

const ENDS = new Set(['completed', 'failed', 'cancelled', 'abandoned']);

/** A task of which nothing but the id, and maybe the name, is known. */
export function unknownTask(id, name = '') {
  return {
    id,
    name,
    state: 'waiting',
    progress: 0,
    stage: null,
    stages: new Map(),
    message: null,
    metadata: {},
    children: null,
    position: null,
    // When it will be done, by this page's clock.
    due: null,
    elapsedMs: 0,
    result: null,
    error: null,
    cause: null,
    // The attempt that is under way or waited for, if it is not the first: `{number, of, at, error}`.
    attempt: null,
    // When its state last changed, by this page's clock.
    movedAt: Date.now(),
    // The server knew it once and knows it no more.
    lost: false,
    epoch: null,
    seq: 0,
  };
}

export function isEnded(task) {
  return ENDS.has(task.state);
}

/** The server refused it before there was such a task. */
export function refuse(task, error) {
  task.state = 'failed';
  task.error = error;
}

/** How much of its upload is there, in percent; null if it has none. */
export function uploaded(task) {
  return task.stages.get('upload')?.progress ?? null;
}

/** Nothing more is to come of it. */
export function isOver(task) {
  return task.lost || isEnded(task);
}

/**
 * Makes the task what the snapshot says, unless more is known already; tells whether it changed.
 * `then` is when the newest event in it happened, by this page's clock.
 */
export function applySnapshot(task, snapshot, then) {
  const sameRun = task.epoch === snapshot.epoch;
  if (sameRun && snapshot.seq < task.seq) {
    return false;
  }
  task.epoch = snapshot.epoch;
  task.seq = snapshot.seq;
  task.lost = false;
  task.name = snapshot.name ?? task.name;
  task.state = snapshot.state;
  task.progress = sameRun ? Math.max(task.progress, snapshot.progress) : snapshot.progress;
  task.stage = snapshot.stage;
  task.stages = new Map(snapshot.stages.map((stage) => [stage.path, stage]));
  task.message = snapshot.message;
  task.metadata = { ...snapshot.metadata };
  task.children = snapshot.children ?? null;
  task.due = dueAt(snapshot.eta_ms, then);
  task.elapsedMs = snapshot.elapsed_ms;
  task.result = snapshot.result ?? null;
  task.error = snapshot.error ?? null;
  task.cause = snapshot.cause ?? null;
  task.attempt = isEnded(task) ? null : attemptAfter(snapshot.last_error, then);
  task.movedAt = then;
  // A snapshot has no place in the queue: what was known of it goes with the queue.
  task.position = task.state === 'queued' && sameRun ? task.position : null;
  return true;
}

/**
 * Applies an event: `applied`; `repeat` if it was known, also by the snapshot; `missing` if something
 * lies between, so that only a new snapshot helps.
 */
export function applyEvent(task, frame, now) {
  if (frame.epoch !== task.epoch) {
    return 'missing';
  }
  if (frame.seq <= task.seq) {
    return 'repeat';
  }
  if ((frame.from ?? frame.seq) > task.seq + 1) {
    return 'missing';
  }
  task.seq = frame.seq;
  task.movedAt = now;
  change(task, frame.event_type, frame.data, now);
  return 'applied';
}

function change(task, type, data, now) {
  switch (type) {
    case 'queued':
      task.state = 'queued';
      task.position = data.position ?? task.position;
      break;
    case 'started':
      start(task, data);
      break;
    case 'stage_change':
      task.stage = data.current_stage;
      move(task, data.progress);
      break;
    case 'progress_update':
      update(task, data, now);
      break;
    case 'paused':
    case 'stalled':
      task.state = type;
      break;
    case 'resumed':
    case 'recovered':
      task.state = 'running';
      break;
    case 'error':
      task.attempt = attemptAfter(data, now);
      break;
    case 'complete':
      end(task, data);
      break;
    default:
      // Logs, requests to cancel and custom events change nothing here.
      break;
  }
}

function start(task, data) {
  task.state = 'running';
  task.position = null;
  task.name = data.name ?? task.name;
  for (const stage of data.stages ?? []) {
    task.stages.set(stage.path, { ...task.stages.get(stage.path), ...stage });
  }
}

function update(task, data, now) {
  move(task, data.progress);
  task.due = dueAt(data.eta_ms, now);
  task.elapsedMs = data.elapsed_ms;
  task.message = data.message ?? task.message;
  task.children = data.children ?? task.children;
  Object.assign(task.metadata, data.metadata);
  if (data.stage) {
    const { current = null, total = null, unit = null } = data;
    const known = task.stages.get(data.stage) ?? { path: data.stage, label: data.stage };
    const progress = data.stage_progress ?? known.progress ?? 0;
    task.stages.set(data.stage, { ...known, progress, current, total, unit });
  }
}

function end(task, data) {
  task.state = data.status;
  task.attempt = null;
  // 100 only if it completed; else as far as it came.
  move(task, data.progress);
  task.due = null;
  task.elapsedMs = data.duration_ms;
  task.result = data.result ?? null;
  task.error = data.error ?? null;
  task.cause = data.cause ?? null;
}

/** The attempt that follows an error, if one does. */
function attemptAfter(error, then) {
  if (error?.retry_after_ms === undefined || error.retry_count === undefined) {
    return null;
  }
  const { retry_count: retry, max_retries: retries = retry, retry_after_ms: wait } = error;
  return { number: retry + 1, of: retries + 1, at: then + wait, error };
}

function dueAt(etaMs, now) {
  return etaMs === null || etaMs === undefined ? null : now + etaMs;
}

/** Within a run no bar goes back. */
function move(task, progress) {
  task.progress = Math.max(task.progress, progress ?? 0);
}
