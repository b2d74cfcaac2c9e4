// @vitest-environment jsdom
import { act, cleanup, renderHook } from "@testing-library/react";
import { createElement, type ReactNode, StrictMode, useLayoutEffect } from "react";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ProgressProvider, useChannel, useProgress, useProgressTracking, useTasks } from "../../src/react/index.js";
import type { ProgressError, Snapshot, TaskView } from "../../src/types.js";
import { FakeClient, refusal } from "../support/fake-client.js";

let client: FakeClient;
const wrapper = (props: { children: ReactNode }) => createElement(ProgressProvider, { client }, props.children);

/** Renders the hook and counts how often. */
function render<P, R>(hook: (props: P) => R, initialProps: P) {
  let renders = 0;
  const rendered = renderHook((props: P) => (renders++, hook(props)), { initialProps, wrapper });
  return { ...rendered, renders: () => renders };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame", "performance"] });
  client = new FakeClient();
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

const frame = () => act(() => vi.advanceTimersToNextFrame());

describe("useProgress", () => {
  it("gives the first state at once, and later ones with the next frame", () => {
    const { result } = render((id: string) => useProgress(id), "a");
    expect(result.current).toMatchObject({ taskId: "a", connection: "connecting", snapshot: null });
    act(() => client.task("a").update({ progress: 1 }));
    expect(result.current.snapshot?.progress).toBe(1);
    act(() => client.task("a").update({ progress: 2 }));
    expect(result.current.snapshot?.progress).toBe(1);
    frame();
    expect(result.current.snapshot?.progress).toBe(2);
  });

  it("renders a hundred updates of a frame once", () => {
    const { result, renders } = render((id: string) => useProgress(id), "a");
    act(() => client.task("a").update({ progress: 0 }));
    const before = renders();
    for (let progress = 1; progress <= 100; progress++) act(() => client.task("a").update({ progress }));
    frame();
    expect(result.current.snapshot?.progress).toBe(100);
    expect(renders() - before).toBe(1);
  });

  it("does not render again where nothing changes", () => {
    const { renders, rerender } = render((id: string) => useProgress(id), "a");
    act(() => client.task("a").update({ progress: 1 }));
    const before = renders();
    rerender("a");
    frame();
    act(() => vi.advanceTimersByTime(1_000));
    expect(renders() - before).toBe(1);
  });

  it("shows the last of many updates when the throttle's time is over", () => {
    const { result, renders } = render((id: string) => useProgress(id, { throttleMs: 200 }), "a");
    act(() => client.task("a").update({ progress: 0 }));
    const before = renders();
    for (let progress = 1; progress <= 5; progress++) {
      act(() => client.task("a").update({ progress }));
      act(() => vi.advanceTimersByTime(20));
    }
    expect(renders() - before).toBe(0);
    act(() => vi.advanceTimersByTime(200));
    expect(result.current.snapshot?.progress).toBe(5);
    expect(renders() - before).toBe(1);
  });

  it("shows an end at once, whatever the throttle", () => {
    const { result } = render((id: string) => useProgress(id, { throttleMs: 60_000 }), "a");
    act(() => client.task("a").update({ progress: 1 }));
    act(() => client.task("a").update({ progress: 2 }));
    act(() => client.task("a").update({ state: "completed", progress: 100 }));
    expect(result.current.snapshot?.state).toBe("completed");
  });

  it("shows the last state in a hidden tab, where no frame comes", () => {
    vi.stubGlobal("requestAnimationFrame", () => 1);
    try {
      const { result } = render((id: string) => useProgress(id), "a");
      act(() => client.task("a").update({ progress: 1 }));
      act(() => client.task("a").update({ progress: 2 }));
      act(() => vi.advanceTimersByTime(250));
      expect(result.current.snapshot?.progress).toBe(2);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it("renders only when the selection is another, though the selector is a new function each time", () => {
    const { result, renders } = render(
      (id: string) => useProgress(id, { select: ({ snapshot }: TaskView) => ({ tens: Math.floor((snapshot?.progress ?? 0) / 10) }) }),
      "a",
    );
    act(() => client.task("a").update({ progress: 0 }));
    const before = renders();
    const selection = result.current;
    for (let progress = 1; progress <= 9; progress++) {
      act(() => client.task("a").update({ progress }));
      frame();
    }
    expect(renders()).toBe(before);
    expect(result.current).toBe(selection);
    act(() => client.task("a").update({ progress: 10 }));
    frame();
    expect(result.current).toEqual({ tens: 1 });
    expect(renders() - before).toBe(1);
  });

  it("selects by what a selector of a new render closes over", () => {
    const { result, rerender } = render(
      ({ times }: { times: number }) => useProgress("a", { select: ({ snapshot }) => (snapshot?.progress ?? 0) * times }),
      { times: 1 },
    );
    act(() => client.task("a").update({ progress: 7 }));
    rerender({ times: 3 });
    expect(result.current).toBe(21);
  });

  it("calls the newest callback once, without watching anew", () => {
    const first = vi.fn();
    const second = vi.fn();
    const { rerender } = render((onComplete: (result: unknown, snapshot: Snapshot) => void) => useProgress("a", { onComplete }), first);
    act(() => client.task("a").update({ progress: 1 }));
    const { watches } = client.task("a");
    rerender(second);
    act(() => client.task("a").update({ state: "completed", progress: 100, result: { url: "/x" } }));
    act(() => client.task("a").update({ message: "a reset brings the end again" }));
    rerender(second);
    expect(first).not.toHaveBeenCalled();
    expect(second).toHaveBeenCalledOnce();
    expect(second.mock.calls[0]![0]).toEqual({ url: "/x" });
    expect(client.task("a").watches).toBe(watches);
  });

  it("tells of an end that came before anybody watched", () => {
    client.task("a").update({ state: "failed", error: { code: "BOOM", message: "it broke" } });
    const onError = vi.fn<(error: ProgressError, snapshot: Snapshot | null) => void>();
    render(() => useProgress("a", { onError }), null);
    expect(onError).toHaveBeenCalledOnce();
    expect(onError.mock.calls[0]![0].code).toBe("BOOM");
  });

  it("tells of a task that cannot be watched", () => {
    const onError = vi.fn<(error: ProgressError, snapshot: Snapshot | null) => void>();
    const { result } = render(() => useProgress("a", { onError }), null);
    act(() => client.task("a").refuse(refusal("FORBIDDEN", "this is not allowed", 403)));
    expect(onError.mock.calls.map(([error, snapshot]) => [error.code, snapshot])).toEqual([["FORBIDDEN", null]]);
    expect(result.current.error?.code).toBe("FORBIDDEN");
  });

  it("tells no end of an error that passes", () => {
    const onError = vi.fn();
    const { result } = render(() => useProgress("a", { onError }), null);
    act(() => client.task("a").set({ connection: "stale", error: refusal("CONNECTION_LIMIT", "too many", 503) }));
    expect(result.current.error?.code).toBe("CONNECTION_LIMIT");
    expect(onError).not.toHaveBeenCalled();
  });

  it("goes over to another task, and shows nothing of the one before", () => {
    const { result, rerender } = render((id: string | null) => useProgress(id), "a" as string | null);
    act(() => client.task("a").update({ progress: 50 }));
    rerender("b");
    expect(result.current).toMatchObject({ taskId: "b", snapshot: null });
    expect(client.task("a").listeners).toBe(0);
    rerender(null);
    expect(result.current).toMatchObject({ taskId: "", connection: "idle" });
    expect(client.listeners).toBe(0);
  });

  it("calls back once under StrictMode, and leaves nothing behind", () => {
    const onComplete = vi.fn();
    const strict = (props: { children: ReactNode }) => createElement(StrictMode, null, wrapper(props));
    client.task("a").update({ state: "completed", progress: 100 });
    const { unmount } = renderHook(() => useProgress("a", { onComplete }), { wrapper: strict });
    expect(onComplete).toHaveBeenCalledOnce();
    unmount();
    expect(client.listeners).toBe(0);
  });

  it("leaves no listener after a thousand mounts", () => {
    for (let count = 0; count < 1_000; count++) {
      const { unmount } = renderHook(
        () => [useProgress("a"), useTasks(["a", "b"]), useChannel("jobs", { onEvent: () => {} }), useProgressTracking("c")],
        { wrapper },
      );
      unmount();
    }
    expect(client.listeners).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("begins where it is told to, as many tasks do", () => {
    const [one, many] = [vi.spyOn(client, "task"), vi.spyOn(client, "tasks")];
    render(() => useProgress("a", { replay: "none" }), undefined);
    render(() => useTasks(["a", "b"], { replay: "latest" }), undefined);
    expect(one.mock.calls[0]).toEqual(["a", { replay: "none" }]);
    expect(many.mock.calls[0]).toEqual([["a", "b"], { replay: "latest" }]);
  });

  it("says what is missing where there is no client", () => {
    const quiet = vi.spyOn(console, "error").mockImplementation(() => {});
    expect(() => renderHook(() => useProgress("a"))).toThrow("ProgressProvider");
    quiet.mockRestore();
    expect(renderHook(() => useProgress(null)).result.current.connection).toBe("idle");
  });
});

describe("on a server", () => {
  it("renders the first view without watching", () => {
    client.task("a").update({ progress: 77 });
    const Bar = () => createElement("p", null, `${useProgress("a").connection} ${useTasks(["a"]).size} ${useProgressTracking("a").progress.progress}`);
    expect(renderToString(wrapper({ children: createElement(Bar) }))).toBe("<p>connecting 0 0</p>");
    expect(client.listeners).toBe(0);
  });
});

describe("useTasks", () => {
  it("gives the views in the order of the ids, and watches once for equal ids", () => {
    const { result, rerender } = render((ids: string[]) => useTasks(ids), ["b", "a"]);
    act(() => client.task("a").update({ progress: 1 }));
    frame();
    expect([...result.current.keys()]).toEqual(["b", "a"]);
    const before = result.current;
    rerender(["b", "a"]);
    expect(result.current).toBe(before);
    expect(client.task("a").watches).toBe(1);
  });

  it("watches nothing without ids", () => {
    const { result } = renderHook(() => useTasks([]));
    expect(result.current.size).toBe(0);
  });
});

describe("useChannel", () => {
  it("shows the newest events, and tells the newest callback every one", async () => {
    const seen: string[] = [];
    const listen = (name: string) => (event: { event: { event_type: string } }) => seen.push(`${name} ${event.event.event_type}`);
    const { result, rerender } = render<string, ReturnType<typeof useChannel>>((name) => useChannel("jobs", { onEvent: listen(name) }), "first");
    act(() => client.channel("jobs").emit({ event_type: "one", timestamp: "2026-11-22T16:34:32Z", data: null }));
    await act(async () => {});
    rerender("second");
    act(() => client.channel("jobs").emit({ event_type: "two", timestamp: "2026-11-22T16:34:33Z", data: null }));
    await act(async () => {});
    frame();
    expect(seen).toEqual(["first one", "second two"]);
    expect(result.current.events.map(({ event }) => event.event_type)).toEqual(["one", "two"]);
  });
});

describe("between a render and its effects", () => {
  it("nothing is missed", () => {
    const { result } = renderHook(
      () => {
        const view = useChannel("jobs");
        useLayoutEffect(() => client.channel("jobs").emit({ event_type: "one", timestamp: "2026-11-22T16:34:32Z", data: null }), []);
        return view;
      },
      { wrapper },
    );
    expect(result.current.events.length).toBe(1);
  });
});

describe("useProgressTracking", () => {
  it("gives progress, stage and message, and keeps the object until they change", () => {
    const { result } = render((id: string | null) => useProgressTracking(id), "a" as string | null);
    expect(result.current).toEqual({ progress: { progress: 0, stage: null, message: null }, isConnected: false, error: null });
    act(() => client.task("a").update({ progress: 40, stage: "matte", message: "half way" }));
    const before = result.current;
    expect(before).toEqual({ progress: { progress: 40, stage: "matte", message: "half way" }, isConnected: true, error: null });
    act(() => client.task("a").log("nothing that is shown"));
    frame();
    expect(result.current).toBe(before);
  });

  it("keeps the progress of a task that fails, and says why", () => {
    const onError = vi.fn();
    const { result } = render(() => useProgressTracking("a", { onError }), null);
    act(() => client.task("a").update({ progress: 40 }));
    act(() => client.task("a").update({ state: "failed", error: { code: "BOOM", message: "it broke" } }));
    expect(result.current).toMatchObject({ progress: { progress: 40 }, error: { code: "BOOM" } });
    expect(onError).toHaveBeenCalledOnce();
  });

  it("is not connected while the connection is being made again", () => {
    const { result } = render(() => useProgressTracking("a"), null);
    act(() => client.task("a").update({ progress: 40 }));
    act(() => client.connect("stale"));
    frame();
    expect(result.current.isConnected).toBe(false);
  });
});
