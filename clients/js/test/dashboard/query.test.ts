import { describe, expect, it } from "vitest";
import { readPlace, writePlace } from "../../src/dashboard/hash.js";
import { DEFAULT_QUERY, select, SORTS } from "../../src/dashboard/query.js";
import { type Row, rowOf } from "../../src/dashboard/row.js";
import type { Snapshot } from "../../src/types.js";
import { snapshotOf } from "../support/fake-client.js";

const rows: Row[] = (
  [
    ["a", { name: "Video 10", kind: "video", labels: { user: "7" }, progress: 10, eta_ms: 5_000, started_at: "2026-11-22T10:00:03Z" }],
    ["b", { name: "video 9", kind: "video", labels: { user: "70" }, progress: 90, started_at: "2026-11-22T10:00:02Z", message: "Rendering tiles" }],
    ["c", { name: null, kind: "export", state: "failed", progress: 50, started_at: "2026-11-22T10:00:01Z" }],
    ["d", { name: "Done", state: "completed", progress: 100, started_at: "2026-11-22T10:00:04Z" }],
  ] as [string, Partial<Snapshot>][]
).map(([id, some]) => rowOf(snapshotOf(id, some)));

const ids = (query: object) => select(rows, { ...DEFAULT_QUERY, ...query }).map(({ id }) => id).join("");

describe("a query", () => {
  it("shows active tasks, ended ones, all, or one state", () => {
    expect([ids({}), ids({ state: "ended" }), ids({ state: "all" }), ids({ state: "failed" })]).toEqual(["ab", "dc", "dabc", "c"]);
  });

  it("takes a kind, and a label or its beginning", () => {
    expect([ids({ kind: "video" }), ids({ kind: "none" })]).toEqual(["ab", ""]);
    expect([ids({ label: "user:70" }), ids({ label: "user:7" }), ids({ label: "user:" })]).toEqual(["b", "ab", "ab"]);
  });

  it("finds all words, anywhere, whatever their case", () => {
    expect([ids({ search: "VIDEO 9" }), ids({ search: "tiles video" }), ids({ search: "tiles export" })]).toEqual(["b", "b", ""]);
  });

  it("orders by what is asked for, and keeps the places of those that are alike", () => {
    const orders = Object.fromEntries(SORTS.map((sort) => [sort, ids({ state: "all", sort })]));
    expect(orders).toEqual({ newest: "dabc", oldest: "cbad", name: "cdba", progress: "dbca", eta: "adbc", state: "cabd" });
  });
});

describe("the address", () => {
  it("keeps the query and the task, and says nothing of what is as usual", () => {
    const place = { query: { ...DEFAULT_QUERY, state: "failed", label: "a:b c", search: "x&y=#" }, task: "video:42" };
    expect(readPlace(writePlace(place))).toEqual(place);
    expect(writePlace({ query: DEFAULT_QUERY, task: null })).toBe("#");
  });

  it("is read as usual where it makes no sense", () => {
    expect(readPlace("#sort=evil&%E0%A4%A")).toMatchObject({ query: DEFAULT_QUERY, task: null });
  });
});
