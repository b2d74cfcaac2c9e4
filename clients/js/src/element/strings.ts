import type { ConnectionState, TaskState } from "../types.js";

/** All that the element says, in one place, and what the dashboard has in common with it; see {@link setStrings}. */
export interface Strings {
  /** The language of the words, for numbers and units (BCP 47). */
  locale: string;
  /** The name of a bar whose task has none. */
  untitled: string;
  /** Before the server's first word. */
  waiting: string;
  /** Of a task that the server does not know yet. */
  unknown: string;
  states: Record<TaskState, string>;
  /** States of stages; one that is not here is shown as the server says it. */
  stageStates: Record<string, string>;
  connections: Record<ConnectionState, string>;
  /** Time left, of what {@link Strings.span} says. */
  left: (span: string) => string;
  soon: string;
  /** Time since the start. */
  elapsed: (span: string) => string;
  stages: string;
  moreStages: (count: number) => string;
  log: string;
  lostLines: (count: number) => string;
  cancel: string;
  cancelling: string;
  /** Why the button is of no use, for somebody who may not cancel. */
  mayNotCancel: (message: string) => string;
  cancelFailed: (message: string) => string;
  /** Above the error of a task that cannot be watched. */
  unwatched: string;
  /** Above an error that the task goes on after. */
  lastError: string;
  attempt: (retry: number, of: number | null) => string;
  solutions: string;
  trace: (id: string) => string;
  causes: Record<string, string>;
}

const ENGLISH: Strings = {
  locale: "en",
  untitled: "Task",
  waiting: "Waiting for the first state",
  unknown: "Not started yet",
  states: {
    queued: "Queued",
    running: "Running",
    paused: "Paused",
    stalled: "Stalled",
    completed: "Done",
    failed: "Failed",
    cancelled: "Cancelled",
    abandoned: "Abandoned",
  },
  stageStates: {
    pending: "Waiting",
    running: "Running",
    completed: "Done",
    failed: "Failed",
    cancelled: "Cancelled",
    abandoned: "Abandoned",
  },
  connections: {
    idle: "Not connected",
    connecting: "Connecting…",
    live: "Live",
    stale: "Connection lost, reconnecting…",
    resyncing: "Catching up…",
    polling: "Live, by polling",
    ended: "Finished",
  },
  left: (span) => `about ${span} left`,
  soon: "a few seconds left",
  elapsed: (span) => `${span} so far`,
  stages: "Stages",
  moreStages: (count) => `and ${count} more`,
  log: "Log",
  lostLines: (count) => `${count} earlier lines are no longer kept`,
  cancel: "Cancel",
  cancelling: "Cancelling…",
  mayNotCancel: (message) => `You may not cancel this task: ${message}`,
  cancelFailed: (message) => `Not cancelled: ${message}`,
  unwatched: "Cannot be shown",
  lastError: "Went on after an error",
  attempt: (retry, of) => (of === null ? `retry ${retry}` : `retry ${retry} of ${of}`),
  solutions: "What may help",
  trace: (id) => `Trace ${id}`,
  causes: {
    dropped: "nobody finished it",
    panicked: "the work on it broke down",
    parent_ended: "the task that it belongs to ended first",
    lease_expired: "the server that worked on it is gone",
    silent: "nothing was heard of it for too long",
  },
};

/** The words in use. */
export const strings: Strings = { ...ENGLISH };

/** Any of the words, and of a table of them any. */
export type Some<W> = { [K in keyof W]?: W[K] extends (...args: never[]) => string ? W[K] : Partial<W[K]> };

/** What may be given to {@link setStrings}. */
export type SomeStrings = Some<Strings>;

/**
 * Replaces some of the words, for all elements of the page; shown at their next change. The dashboard has some more,
 * which `setWords` of it replaces.
 *
 * @example
 * setStrings({ locale: "de", cancel: "Abbrechen", states: { running: "Läuft" } });
 */
export function setStrings(some: SomeStrings): void {
  replace(strings, some);
  formats.clear();
}

/** Puts some words in place of those that are there. */
export function replace<W extends object>(words: W, some: Some<W>): void {
  const target = words as Record<string, unknown>;
  for (const [name, value] of Object.entries(some)) {
    target[name] = typeof value === "object" ? { ...(target[name] as object), ...value } : value;
  }
}

const formats = new Map<string, Intl.NumberFormat>();

function format(key: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  let known = formats.get(key);
  if (known === undefined) formats.set(key, (known = new Intl.NumberFormat(strings.locale, options)));
  return known;
}

/** A percentage (0 to 100) without decimals; 100 only if it is that, so that what is not done does not look so. */
export function percent(value: number): string {
  return format("percent", { style: "percent" }).format(Math.floor(value) / 100);
}

export function number(value: number): string {
  return format("number", { maximumFractionDigits: 1 }).format(value);
}

const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
] as const;

/** A length of time as people say it, rounded to one unit: `20 seconds`, `3 minutes`. */
export function roughly(ms: number): string {
  for (const [unit, size] of UNITS) {
    const count = ms / size;
    if (count < 1 && unit !== "second") continue;
    // Seconds are told in steps of five, for an estimate that counts down by one reads as a promise.
    const told = unit === "second" ? Math.max(5, Math.ceil(count / 5) * 5) : Math.round(count);
    return format(`long ${unit}`, { style: "unit", unit, unitDisplay: "long" }).format(told);
  }
  return "";
}

/** A length of time exactly, in its two largest units: `1 hr 5 min`, `42 sec`. */
export function exactly(ms: number): string {
  let rest = Math.max(0, Math.floor(ms / 1000) * 1000);
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count === 0 && parts.length === 0 && unit !== "second") continue;
    if (count > 0 || parts.length === 0) {
      parts.push(format(`short ${unit}`, { style: "unit", unit, unitDisplay: "short" }).format(count));
    }
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** The time left in words; empty where it is not known. */
export function eta(ms: number | null): string {
  if (ms === null || ms < 0) return "";
  return ms < 5_000 ? strings.soon : strings.left(roughly(ms));
}
