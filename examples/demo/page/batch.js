// A batch and all its files, watched by the client. What that cannot know is here: which files there are, and what
// it means for a batch that the server knows no more.

import { createProgressClient } from './dashboard/progress-client.js';
import { Task } from './task.js';

/** One for the page, which shares its connection with those of other tabs. */
export const client = createProgressClient({ url: '/' });

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

  /** `connecting`, `live`, `reconnecting`, `stale` or `final`. */
  get connection() {
    if (this.#isFinal) {
      return 'final';
    }
    if (isLive()) {
      return 'live';
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

  #watch(task) {
    const { id } = task;
    this.#stops.get(id)?.();
    this.#stops.set(id, client.task(id).subscribe((view) => this.#take(task, view)));
  }

  #connected() {
    if (isLive()) {
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
      if (task.due !== null && !task.isOver) {
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
    for (const { task_id: id, name } of files.slice(this.#tasks.size)) {
      const file = new Task(id, name);
      this.#tasks.set(id, file);
      this.#onChange(file);
      this.#watch(file);
    }
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
    if (task.lost || [task, ...this.files].every(({ isOver }) => isOver)) {
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
function isLive() {
  return ['live', 'polling', 'resyncing'].includes(client.connection);
}
