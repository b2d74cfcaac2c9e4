// What is known of one task: the snapshot that the client folds, and what only this page can tell.

const ENDS = new Set(['completed', 'failed', 'cancelled', 'abandoned']);

export class Task {
  /** What the client knows of it; null before the server's first word. */
  snapshot = null;
  /** When it will be done, by this page's clock; null if nobody knows. */
  due = null;
  /** When it last moved, by this page's clock. */
  movedAt = Date.now();
  /** The attempt that is under way or waited for, if it is not the first: `{number, of, at, error}`. */
  attempt = null;
  /** Why the server did not take it, so that it knows of no such task. */
  refusal = null;
  /** The server knew it once and knows it no more. */
  lost = false;
  /** What its batch says of it; null before it does. */
  file = null;

  constructor(id, name = '') {
    this.id = id;
    this.name = name;
  }

  /** The wire's state; before any is known `waiting`, and `lost`. */
  get state() {
    if (this.refusal) {
      return 'failed';
    }
    return this.lost ? 'lost' : (this.snapshot?.state ?? 'waiting');
  }

  get progress() {
    return this.snapshot?.progress ?? 0;
  }

  /** Whether it ended as tasks do. */
  get isEnded() {
    return !this.lost && ENDS.has(this.state);
  }

  /** Whether nothing more is to come of it. */
  get isOver() {
    return this.lost || this.isEnded;
  }

  /** What it ended with: `result` or `error`. */
  get end() {
    return this.refusal ? { error: this.refusal } : this.snapshot;
  }

  /** How much of its upload is there, in percent; null if it has none. */
  get uploaded() {
    return this.stage('upload')?.progress ?? null;
  }

  /** Whether it has to wait for others, as it says itself. */
  get isWaiting() {
    return Boolean(this.snapshot?.metadata.waiting);
  }

  stage(path) {
    return this.snapshot?.stages.find((stage) => stage.path === path);
  }

  /** Takes the client's newest snapshot. */
  take(snapshot, now) {
    const before = this.snapshot;
    this.snapshot = snapshot;
    this.name = snapshot.name ?? this.name;
    // What happened before anybody looked, happened then.
    this.movedAt = before === null ? Date.parse(snapshot.updated_at) : now;
    // Most events say nothing of the time left: what was said before still counts down.
    if (snapshot.eta_ms !== before?.eta_ms || snapshot.elapsed_ms !== before?.elapsed_ms) {
      this.due = snapshot.eta_ms === null ? null : now + snapshot.eta_ms;
    }
    if (this.isEnded) {
      this.attempt = null;
    } else if (snapshot.last_error?.retry_count !== before?.last_error?.retry_count) {
      this.attempt = attemptAfter(snapshot.last_error, this.movedAt);
    }
  }
}

/** The attempt that follows an error, if one does. */
function attemptAfter(error, then) {
  if (error?.retry_after_ms === undefined || error.retry_count === undefined) {
    return null;
  }
  const { retry_count: retry, max_retries: retries = retry, retry_after_ms: wait } = error;
  return { number: retry + 1, of: retries + 1, at: then + wait, error };
}
