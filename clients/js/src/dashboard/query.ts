import type { Row } from "./row.js";
import { hasEnded } from "./row.js";

/** What is shown, and in which order. */
export interface Query {
  /** `active`, `ended`, `all`, or a state. */
  readonly state: string;
  readonly kind: string;
  /** `name:value`, or the beginning of one; empty for any. */
  readonly label: string;
  /** Words that all have to be in the name, id, message, kind or labels. */
  readonly search: string;
  readonly sort: Sort;
}

export type Sort = "newest" | "oldest" | "name" | "progress" | "eta" | "state";

export const SORTS: readonly Sort[] = ["newest", "oldest", "name", "progress", "eta", "state"];

export const DEFAULT_QUERY: Query = { state: "active", kind: "", label: "", search: "", sort: "newest" };

/** What needs attention comes first. */
const STATE_ORDER = ["failed", "stalled", "abandoned", "running", "paused", "queued", "cancelled", "completed"];

/** The rows that the query asks for, in its order. */
export function select(rows: Iterable<Row>, query: Query): Row[] {
  const matches = matcher(query);
  const found: Row[] = [];
  for (const row of rows) if (matches(row)) found.push(row);
  return found.sort(ORDERS[query.sort]);
}

/** Says of a row whether the query asks for it. */
export function matcher(query: Query): (row: Row) => boolean {
  const words = query.search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const label = query.label.trim();
  return (row) => {
    if (!inState(row, query.state)) return false;
    if (query.kind !== "" && row.kind !== query.kind) return false;
    if (label !== "" && !Object.entries(row.labels).some(([name, value]) => `${name}:${value}`.startsWith(label))) return false;
    if (words.length === 0) return true;
    const text = textOf(row);
    return words.every((word) => text.includes(word));
  };
}

function inState(row: Row, state: string): boolean {
  if (state === "all") return true;
  if (state === "active") return !hasEnded(row);
  if (state === "ended") return hasEnded(row);
  return row.state === state;
}

function textOf(row: Row): string {
  const labels = Object.entries(row.labels).map(([name, value]) => `${name}:${value}`);
  return [row.name, row.id, row.message, row.kind, row.stage, ...labels].join("\n").toLowerCase();
}

type Order = (a: Row, b: Row) => number;

// Each ends with the id, so that rows that are alike keep their places.
const byId: Order = (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
const newest: Order = (a, b) => b.startedAt - a.startedAt || byId(a, b);

const ORDERS: Readonly<Record<Sort, Order>> = {
  newest,
  oldest: (a, b) => -newest(a, b),
  name: (a, b) => collate(a.name ?? a.id, b.name ?? b.id) || byId(a, b),
  progress: (a, b) => b.progress - a.progress || newest(a, b),
  eta: (a, b) => (a.etaMs ?? Infinity) - (b.etaMs ?? Infinity) || newest(a, b),
  state: (a, b) => STATE_ORDER.indexOf(a.state) - STATE_ORDER.indexOf(b.state) || newest(a, b),
};

const { compare: collate } = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
