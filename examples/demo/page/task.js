// What is known of one task: the snapshot that the client folds, and what only this page can tell.

const ENDS = new Set(['completed', 'failed', 'cancelled', 'abandoned']);

export class Task {
  /** What the client knows of it; null before the server's first word. */
  snapshot = null;
  /** When it will be done, by this page's clock; null if nobody knows. */
  due = null;
  /** The server knew it once and knows it no more. */
  lost = false;

  constructor(id, name = '') {
    this.id = id;
    this.name = name;
  }

  /** The wire's state; before any is known `waiting`, and `lost`. */
  get state() {
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

  stage(path) {
    return this.snapshot?.stages.find((stage) => stage.path === path);
  }

  /** Takes the client's newest snapshot. */
  take(snapshot, now) {
    const before = this.snapshot;
    this.snapshot = snapshot;
    this.name = snapshot.name ?? this.name;
    // Most events say nothing of the time left: what was said before still counts down.
    if (snapshot.eta_ms !== before?.eta_ms || snapshot.elapsed_ms !== before?.elapsed_ms) {
      this.due = snapshot.eta_ms === null ? null : now + snapshot.eta_ms;
    }
  }
}
