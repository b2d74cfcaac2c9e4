import type { ProgressEvent, Snapshot } from "../types.js";
import { fold, hasEnded, isNewer, type Row, rowOf, rowOfEvent } from "./row.js";

/**
 * The tasks that are known: put together from pages of a list and from events, in whichever order these come.
 *
 * Each task has a position, and only what is newer than that counts. So an event that overtakes the list is not
 * undone by it, and a task that ended while the list was on its way is not brought back.
 */
export class TaskStore {
  readonly #rows = new Map<string, Row>();
  readonly #endedAt = new Map<string, number>();
  /** Tasks that were heard of since {@link beginList}. */
  #heard: Set<string> | null = null;
  #listed = new Set<string>();
  #version = 0;

  /** Another number after each change. */
  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#rows.size;
  }

  get(id: string): Row | undefined {
    return this.#rows.get(id);
  }

  rows(): IterableIterator<Row> {
    return this.#rows.values();
  }

  /** Takes an event; returns the row if its name and labels have to be asked for. */
  event(event: ProgressEvent, now: number): Row | null {
    const row = this.#rows.get(event.task_id);
    this.#heard?.add(event.task_id);
    if (row === undefined || row.epoch !== event.epoch) {
      if (row !== undefined && !isNewer(row, event.epoch, event.seq, event.timestamp)) return null;
      const made = rowOfEvent(event);
      this.#put(made, now);
      return made.partial ? made : null;
    }
    if (event.seq > row.seq) this.#put(fold(row, event), now);
    return null;
  }

  /** Takes a state as the server told it when asked. */
  snapshot(snapshot: Snapshot, now: number): void {
    const row = this.#rows.get(snapshot.task_id);
    if (row === undefined || isNewer(row, snapshot.epoch, snapshot.seq, snapshot.updated_at)) {
      this.#put(rowOf(snapshot), now);
    } else if (row.partial && row.epoch === snapshot.epoch) {
      const { name, kind, labels, startedAt, stage } = rowOf(snapshot);
      this.#put({ ...row, name, kind, labels, startedAt, stage: row.stage ?? stage, partial: false }, now);
    }
  }

  /** Forgets a task that is no more. */
  remove(id: string): void {
    if (!this.#rows.delete(id)) return;
    this.#endedAt.delete(id);
    this.#version += 1;
  }

  /** A list of the active tasks is asked for from now on. */
  beginList(): void {
    this.#heard = new Set();
    this.#listed = new Set();
  }

  page(snapshots: readonly Snapshot[], now: number): void {
    for (const snapshot of snapshots) {
      this.#listed.add(snapshot.task_id);
      this.snapshot(snapshot, now);
    }
  }

  /** The list is complete: gives those that were taken for active, and are in it no longer. What became of them has to be asked. */
  endList(): string[] {
    const heard = this.#heard;
    this.#heard = null;
    const missing: string[] = [];
    for (const row of this.#rows.values()) {
      if (!hasEnded(row) && !this.#listed.has(row.id) && heard?.has(row.id) !== true) missing.push(row.id);
    }
    this.#listed = new Set();
    return missing;
  }

  /** The list broke off: nothing follows from what was not in it. */
  dropList(): void {
    this.#heard = null;
    this.#listed = new Set();
  }

  /**
   * Forgets tasks that ended long ago, the oldest first where there are too many; never while a list is on its way,
   * which may still have them as active. `kept` stays.
   */
  sweep(now: number, limits: { readonly ended: number; readonly endedMs: number; readonly rows: number }, kept: string | null): void {
    if (this.#heard !== null) return;
    // A map goes on in the order in which they ended.
    for (const [id, at] of this.#endedAt) {
      const tooMany = this.#endedAt.size > limits.ended || this.#rows.size > limits.rows;
      if (!tooMany && now - at < limits.endedMs) break;
      if (id !== kept) this.remove(id);
    }
  }

  #put(row: Row, now: number): void {
    this.#rows.set(row.id, row);
    if (!hasEnded(row)) this.#endedAt.delete(row.id);
    else if (!this.#endedAt.has(row.id)) this.#endedAt.set(row.id, now);
    this.#version += 1;
  }
}
