// Watches a batch and all its files on one event stream, and folds what comes. Where no stream gets
// through, it asks instead, and goes on trying the stream.

import { applyEvent, applySnapshot, isEnded, isOver, refuse, unknownTask } from './fold.js';

// Until the server says how often its heart beats.
const HEARTBEAT_MS = 30_000;
// Silence of this many heartbeats means that the connection is dead, whatever the browser thinks.
const PATIENCE = 2.5;
// New files are gathered for this long, and longer the more there are, before the stream is reopened
// with them: each reopening brings the snapshots of all live tasks again.
const GATHER_MS = 150;
// A connection lost for this long is no hiccup: what is shown may be old, and says so.
const STALE_MS = 10_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_SHORTEST_MS = 500;
const RETRY_LONGEST_MS = 30_000;
// So many streams in a row that bring nothing: then it asks.
const STREAMS_IN_VAIN = 2;
// For so long the server may hold its answer until something happens.
const POLL_WAIT = '2s';
const POLL_PAUSE_MS = 250;

/**
 * `connection` is `connecting`, `live`, `reconnecting`, `polling`, `stale` or `final`.
 *
 * `fate` says why there is no live batch: `waiting` (the server does not know it yet), `missing` (it
 * never did), `restarted` or `forgotten` (it did once), `refused` (see `refusal`); else it is null.
 */
export class Watch {
  connection = 'connecting';
  fate = null;
  refusal = null;
  /** Whether this page is sending the batch, so that it will come into being. */
  expected = false;
  lastHeard = Date.now();

  // When the present connection showed life, its opening included.
  #pulse = Date.now();
  #lostAt = null;
  #tasks = new Map();
  #onChange;
  #source = null;
  #watched = new Set();
  #node = null;
  #restarted = false;
  #heartbeat = HEARTBEAT_MS;
  #failures = 0;
  #retry = null;
  #growth = null;
  #clock = null;
  #stopped = false;
  #path;
  #planned = [];
  #inVain = 0;
  #polling = null;

  /**
   * `onChange(task)` is called for each changed task, and without one if anything else changed.
   * `path` is that of the stream of many tasks.
   */
  constructor(id, onChange, path = '/sse') {
    this.id = id;
    this.#path = path;
    this.#onChange = onChange;
    this.batch = unknownTask(id);
    this.#tasks.set(id, this.batch);
    this.#clock = setInterval(() => this.#checkPulse(), 1_000);
    this.#open();
  }

  /** The batch's files in the order in which they came, as `{name, task_id}`. */
  get files() {
    const known = this.batch.metadata.files ?? [];
    const ids = new Set(known.map((file) => file.task_id));
    return [...known, ...this.#planned.filter((file) => !ids.has(file.task_id))];
  }

  /** Shows files, as `{name, task_id}`, before the server knows of them. */
  plan(files) {
    this.#planned = files;
    this.#takeFiles();
  }

  /** The server did not take a file that was planned. */
  refuseFile(id, error) {
    const task = this.#tasks.get(id);
    if (task && task.epoch === null) {
      refuse(task, error);
      this.#changed(task);
    }
  }

  task(id) {
    return this.#tasks.get(id);
  }

  /** Looks after the connection now: the page was asleep, or the network has come back. */
  wake({ doubtful = false } = {}) {
    const closed = this.#source === null || this.#source.readyState === EventSource.CLOSED;
    if (closed || doubtful || this.#isSilent()) {
      this.#open();
    }
  }

  /** There will be no such batch, or nobody looks at it any more. */
  stop() {
    this.#stopped = true;
    this.#close();
    this.#polling?.abort();
    clearInterval(this.#clock);
  }

  #open() {
    this.#close();
    if (this.#stopped) {
      return;
    }
    const ids = this.#live().map((task) => task.id);
    if (ids.length === 0) {
      this.#finish();
      return;
    }
    this.#watched = new Set(ids);
    this.#pulse = Date.now();
    const source = new EventSource(`${this.#path}?ids=${ids.join(',')}&replay=none`);
    source.onmessage = (message) => this.#hear(JSON.parse(message.data));
    source.onerror = () => this.#lose(source);
    this.#source = source;
  }

  /** The tasks that the server is known to know, and the batch, of which more is to come. */
  #live() {
    const announced = new Set((this.batch.metadata.files ?? []).map((file) => file.task_id));
    const known = (task) => task === this.batch || announced.has(task.id);
    return [...this.#tasks.values()].filter((task) => known(task) && !isOver(task));
  }

  #close() {
    clearTimeout(this.#retry);
    clearTimeout(this.#growth);
    this.#retry = null;
    this.#growth = null;
    this.#source?.close();
    this.#source = null;
  }

  /** The browser comes back by itself, with its place, as long as the source is not closed. */
  #lose(source) {
    if (source !== this.#source) {
      return;
    }
    this.#failed();
    if (source.readyState === EventSource.CLOSED) {
      this.#retryLater();
    }
  }

  /** A stream was lost, or never brought anything. */
  #failed() {
    this.#inVain += 1;
    if (this.#inVain >= STREAMS_IN_VAIN && this.#polling === null && !this.#stopped) {
      this.#polling = new AbortController();
      this.#poll(this.#polling.signal);
    }
    this.#become(this.connection === 'polling' ? 'polling' : 'reconnecting');
  }

  /** Asks for what has changed, until a stream is live again. */
  async #poll(signal) {
    const etags = new Map();
    while (!signal.aborted) {
      // The batch moves whenever one of its files does: that one answer is waited for.
      const moved = await this.#ask(this.batch, `?wait=${POLL_WAIT}`, etags, signal);
      const files = this.#live().filter((task) => task !== this.batch);
      await Promise.all(files.map((task) => this.#ask(task, '', etags, signal)));
      if (!moved || isOver(this.batch)) {
        await new Promise((resolve) => setTimeout(resolve, POLL_PAUSE_MS));
      }
    }
  }

  /** Asks for one task; tells whether there was an answer. */
  async #ask(task, query, etags, signal) {
    if (isOver(task)) {
      return false;
    }
    try {
      const known = etags.get(task.id);
      const headers = known ? { 'If-None-Match': known } : {};
      const response = await fetch(`/tasks/${task.id}${query}`, { headers, signal, cache: 'no-store' });
      if (signal.aborted || response.status === 503) {
        return false;
      }
      this.#heard();
      if (response.ok) {
        etags.set(task.id, response.headers.get('ETag'));
        const snapshot = await response.json();
        this.#snapshot(task, snapshot, snapshot.updated_at);
      } else if (response.status !== 304) {
        this.#reject(task, (await response.json()).error);
      }
      return true;
    } catch {
      return false;
    }
  }

  /** An answer came, though no stream does. */
  #heard() {
    this.lastHeard = Date.now();
    this.#pulse = this.lastHeard;
    this.#become('polling');
  }

  #retryLater() {
    const most = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(
      () => this.#open(),
      Math.max(RETRY_SHORTEST_MS, Math.random() * most),
    );
  }

  #isSilent() {
    return Date.now() - this.#pulse > this.#heartbeat * PATIENCE;
  }

  #checkPulse() {
    this.#countDown();
    const silent = this.#isSilent();
    if (silent && this.#retry === null) {
      // Also where the browser is still trying: it may be holding on to a dead connection.
      this.#failed();
      this.#close();
      this.#retryLater();
    }
    const lostLong = this.#lostAt !== null && Date.now() - this.#lostAt > STALE_MS;
    if ((silent || lostLong) && this.batch.epoch !== null) {
      this.connection = 'stale';
      // It shows for how long.
      this.#onChange();
    }
  }

  /** The time left grows shorter, also where nothing is heard. */
  #countDown() {
    for (const task of this.#tasks.values()) {
      if ((task.due !== null || task.state === 'running') && !isOver(task)) {
        this.#onChange(task);
      }
    }
  }

  #become(connection) {
    this.#lostAt = connection === 'reconnecting' ? (this.#lostAt ?? Date.now()) : null;
    // Stale until it is live again: trying does not make what is shown any fresher.
    const stays = this.connection === 'stale' && connection === 'reconnecting';
    if (this.connection !== connection && !stays) {
      this.connection = connection;
      this.#onChange();
    }
  }

  #hear(frame) {
    this.lastHeard = Date.now();
    this.#pulse = this.lastHeard;
    const task = this.#tasks.get(frame.task_id);
    switch (frame.event_type) {
      case 'connected':
        this.#greet(frame.data);
        break;
      case 'subscribed':
        if (task) {
          this.#verdict(task, frame.data, frame.timestamp);
        }
        break;
      case 'gap':
      case 'reset':
        if (task) {
          this.#snapshot(task, frame.data.snapshot, frame.timestamp);
        }
        break;
      case 'rejected':
        if (task) {
          this.#reject(task, frame.data);
        }
        break;
      case 'heartbeat':
      case 'draining':
        break;
      default:
        if (task) {
          this.#event(task, frame);
        }
    }
  }

  #greet({ heartbeat_ms: heartbeat, node }) {
    this.#heartbeat = heartbeat ?? HEARTBEAT_MS;
    this.#restarted ||= this.#node !== null && this.#node !== node;
    this.#node = node;
    this.#failures = 0;
    this.#inVain = 0;
    this.#polling?.abort();
    this.#polling = null;
    this.#become('live');
  }

  #verdict(task, { resume, snapshot }, timestamp) {
    if (snapshot) {
      this.#snapshot(task, snapshot, timestamp);
    } else if (resume === 'unknown') {
      if (task.epoch !== null) {
        this.#forget(task);
      } else if (task === this.batch) {
        this.fate = 'waiting';
        this.#onChange();
      }
    }
  }

  #snapshot(task, snapshot, timestamp) {
    if (task === this.batch) {
      this.fate = null;
    }
    // Both times are the server's: its clock need not agree with this one.
    const age = Date.parse(timestamp) - Date.parse(snapshot.updated_at);
    if (applySnapshot(task, snapshot, Date.now() - age)) {
      this.#changed(task);
    }
  }

  #event(task, frame) {
    switch (applyEvent(task, frame, this.lastHeard)) {
      case 'applied':
        this.#changed(task);
        break;
      case 'missing':
        // Only a new snapshot helps.
        this.#open();
        break;
      default:
        break;
    }
  }

  #changed(task) {
    if (task === this.batch) {
      this.#takeFiles();
    }
    this.#onChange(task);
    if (isOver(task)) {
      this.#goOnOrFinish();
    }
  }

  #takeFiles() {
    const { files } = this;
    for (const { task_id: id, name } of files.filter((file) => !this.#tasks.has(file.task_id))) {
      this.#tasks.set(id, unknownTask(id, name));
      this.#onChange(this.#tasks.get(id));
    }
    const grown = this.#live().some((task) => !this.#watched.has(task.id));
    if (grown && this.#growth === null && this.#source !== null) {
      this.#growth = setTimeout(() => this.#open(), GATHER_MS + files.length);
    }
  }

  #reject(task, error) {
    if (error.is_retryable) {
      // The server has no room just now.
      this.#become('reconnecting');
      this.#close();
      this.#retryLater();
    } else if (task.epoch !== null) {
      this.#forget(task);
    } else if (task !== this.batch) {
      task.lost = true;
      this.#changed(task);
    } else if (this.expected) {
      // Its upload has not got through yet.
      this.#close();
      this.#retryLater();
    } else {
      this.fate = error.code === 'TASK_NOT_FOUND' ? 'missing' : 'refused';
      this.refusal = error;
      this.#finish();
    }
  }

  /** The server knew the task once, and now it does not. */
  #forget(task) {
    if (isEnded(task)) {
      return;
    }
    task.lost = true;
    if (task === this.batch || this.#restarted) {
      this.fate = this.#restarted ? 'restarted' : 'forgotten';
    }
    this.#changed(task);
  }

  #goOnOrFinish() {
    const tasks = [...this.#tasks.values()];
    if (this.batch.lost || tasks.every(isOver)) {
      this.#finish();
    } else if (tasks.every((task) => isOver(task) || !this.#watched.has(task.id))) {
      // The stream has nothing more to say and is about to end; the others need a new one.
      this.#open();
    }
  }

  #finish() {
    this.#close();
    this.#polling?.abort();
    for (const task of this.#tasks.values()) {
      if (this.batch.lost && !isOver(task)) {
        task.lost = true;
        this.#onChange(task);
      }
    }
    clearInterval(this.#clock);
    this.#stopped = true;
    this.#become('final');
    this.#onChange();
  }
}
