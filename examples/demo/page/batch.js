// A batch and all its files, watched by the client. What that cannot know is here: which files there are, and what
// it means for a batch that the server knows no more.

import { client } from './client.js';
import { Task } from './task.js';

// A connection lost for this long is no hiccup: what is shown may be old, and says so.
const STALE_MS = 10_000;
// While the upload has not got through. The client lets go of a watch that nobody wants for half a second.
const ASK_AGAIN_MS = 1_000;
// A server keeps for this long what has ended: before that it forgets only by being restarted.
const KEPT_MS = 3_600_000;

/**
 * `fate` says why there is no live batch: `missing` (there never was one), `restarted` or `forgotten` (there was),
 * `refused` (see `refusal`); else it is null.
 */
export class Batch {
  fate = null;
  refusal = null;
  /** Whether this page is sending the batch, so that it will come into being. */
  expected = false;
  /** When the connection was lost; null while it is there, or has never been. */
  lostAt = null;

  #tasks = new Map();
  // So many of its files, the batch itself has told of.
  #announced = 0;
  #stops = new Map();
  #onChange;
  #heard = Date.now();
  #wasLive = false;
  #isFinal = false;
  #again = null;
  #clock = null;

  /** `onChange(task)` is called for each changed task, and without one if anything else changed. */
  constructor(id, onChange) {
    this.id = id;
    this.#onChange = onChange;
    this.task = new Task(id);
    this.#stops.set(client, client.subscribe(() => this.#connected()));
    this.#clock = setInterval(() => this.#tick(), 1_000);
    this.#connected();
    this.#watch(this.task);
  }

  /** Its files in the order in which they came. */
  get files() {
    return this.#tasks.values();
  }

  /** A file's task, if there is one of this id. */
  file(id) {
    return this.#tasks.get(id);
  }

  /** Shows files, as `{task_id, name}`, before the server knows of them. */
  plan(files) {
    for (const { task_id: id, name } of files) {
      this.#add(new Task(id, name));
    }
  }

  /** The server did not take a file that was planned. */
  refuse(id, error) {
    const task = this.#tasks.get(id);
    if (task && task.file === null) {
      task.refusal = error;
      this.#changed(task);
    }
  }

  /** `connecting`, `live`, `polling`, `reconnecting`, `stale` or `final`. */
  get connection() {
    if (this.#isFinal) {
      return 'final';
    }
    if (isHeard()) {
      return client.connection === 'polling' ? 'polling' : 'live';
    }
    if (this.lostAt === null) {
      return 'connecting';
    }
    const isStale = this.task.snapshot !== null && Date.now() - this.lostAt > STALE_MS;
    return isStale ? 'stale' : 'reconnecting';
  }

  /** Nobody looks at it any more. */
  stop() {
    clearTimeout(this.#again);
    clearInterval(this.#clock);
    for (const stop of this.#stops.values()) {
      stop();
    }
    this.#stops.clear();
  }

  #add(task) {
    this.#tasks.set(task.id, task);
    this.#onChange(task);
    return task;
  }

  #watch(task) {
    const { id } = task;
    this.#stops.get(id)?.();
    this.#stops.set(id, client.task(id).subscribe((view) => this.#take(task, view)));
  }

  #connected() {
    if (isHeard()) {
      this.#wasLive = true;
      this.lostAt = null;
    } else if (this.#wasLive && client.connection !== 'idle') {
      this.lostAt ??= Date.now();
    }
    this.#onChange();
  }

  /** The time left grows shorter, and a lost connection longer lost, also where nothing is heard. */
  #tick() {
    for (const task of [this.task, ...this.files]) {
      const moves = task.due !== null || task.state === 'running';
      if (moves && !task.isOver) {
        this.#onChange(task);
      }
    }
    if (this.lostAt !== null) {
      this.#onChange();
    }
  }

  #take(task, { snapshot, error }) {
    if (snapshot !== null && snapshot !== task.snapshot) {
      // It has been silent for so long when it is lost.
      this.#heard = Date.now();
      task.take(snapshot, this.#heard);
      this.#changed(task);
    }
    if (error !== null && !task.isOver) {
      this.#refused(task, error);
    }
  }

  #changed(task) {
    if (task === this.task) {
      this.#takeFiles();
    }
    this.#onChange(task);
    if (task.isOver) {
      this.#finishIfOver();
    }
  }

  #takeFiles() {
    const { files = [] } = this.task.snapshot.metadata;
    for (const file of files.slice(this.#announced)) {
      const { task_id: id, name } = file;
      const task = this.#tasks.get(id) ?? this.#add(new Task(id, name));
      task.file = file;
      this.#watch(task);
    }
    this.#announced = Math.max(this.#announced, files.length);
  }

  /** The task cannot be watched, for good: mostly because the server does not know it. */
  #refused(task, error) {
    if (task.snapshot !== null || task !== this.task) {
      task.lost = true;
      if (task === this.task) {
        this.fate = Date.now() - this.#heard < KEPT_MS ? 'restarted' : 'forgotten';
      }
      this.#changed(task);
    } else if (this.expected) {
      this.#stops.get(task.id)?.();
      this.#again = setTimeout(() => this.#watch(task), ASK_AGAIN_MS);
    } else {
      this.fate = error.code === 'TASK_NOT_FOUND' ? 'missing' : 'refused';
      this.refusal = error.error;
      this.#finish();
    }
  }

  #finishIfOver() {
    const { task } = this;
    // What was planned and never came keeps nobody waiting.
    if (task.lost || (task.isOver && [...this.files].every((file) => file.isOver || file.file === null))) {
      this.#finish();
    }
  }

  #finish() {
    this.#isFinal = true;
    clearInterval(this.#clock);
    if (this.task.lost) {
      // Its files went with it.
      for (const file of this.files) {
        if (!file.isOver) {
          file.lost = true;
          this.#onChange(file);
        }
      }
    }
    this.#onChange();
  }
}

/** Whether what happens is told at once, or nearly so by polling. */
function isHeard() {
  return ['live', 'polling', 'resyncing'].includes(client.connection);
}
