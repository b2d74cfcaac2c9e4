// @vitest-environment jsdom
import { act, renderHook } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { ClientOptions } from "../../src/types.js";
import { FakeClient } from "../support/fake-client.js";

const made: { client: FakeClient; options: ClientOptions }[] = [];
vi.mock("../../src/index.js", () => ({
  createProgressClient: (options: ClientOptions) => {
    const client = new FakeClient();
    made.push({ client, options });
    return client;
  },
}));

const { useProgressTracking } = await import("../../src/react/index.js");

beforeEach(() => {
  vi.useFakeTimers();
  made.length = 0;
});

afterEach(() => {
  vi.runOnlyPendingTimers();
  vi.useRealTimers();
});

it("hooks of one url share a client, which is closed some time after the last", () => {
  const first = renderHook(() => useProgressTracking("a", { url: "/api" }), { wrapper: StrictMode });
  const second = renderHook(() => useProgressTracking("b", { url: "/api" }));
  expect(made.length).toBe(1);
  const { client } = made[0]!;
  act(() => client.task("a").update({ progress: 40 }));
  expect(first.result.current.progress.progress).toBe(40);
  first.unmount();
  vi.advanceTimersByTime(60_000);
  expect(client.closed).toBe(false);
  second.unmount();
  vi.advanceTimersByTime(60_000);
  expect(client.closed).toBe(true);
  expect(client.listeners).toBe(0);
});

it("a page that wants no WebSocket gets streams, and polls", () => {
  renderHook(() => useProgressTracking("a", { url: "/api", preferWebSocket: false })).unmount();
  expect(made[0]!.options).toEqual({ url: "/api", transports: ["fetch-sse", "event-source", "poll"] });
});

it("nothing is connected while there is no task", () => {
  const { result } = renderHook(() => useProgressTracking(null, { url: "/api" }));
  expect(made).toEqual([]);
  expect(result.current).toEqual({ progress: { progress: 0, stage: null, message: null }, isConnected: false, error: null });
});
