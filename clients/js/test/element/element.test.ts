// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ProgressView } from "../../src/element/index.js";
import { FakeClient, refusal } from "../support/fake-client.js";

const made: { client: FakeClient; url: string }[] = [];
vi.mock("../../src/index.js", async () => ({
  ...(await vi.importActual<object>("../../src/error.js")),
  createProgressClient: ({ url }: { url: string }) => {
    const client = new FakeClient();
    made.push({ client, url });
    return client;
  },
}));

const { setStrings } = await import("../../src/element/index.js");

// jsdom has no sheets that are shared between roots.
if (!("replaceSync" in CSSStyleSheet.prototype)) Object.assign(CSSStyleSheet.prototype, { replaceSync() {} });

let client: FakeClient;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-22T16:34:40Z") });
  client = new FakeClient();
});

afterEach(() => {
  document.body.replaceChildren();
  vi.runOnlyPendingTimers();
  vi.useRealTimers();
  made.length = 0;
});

function mount(attributes: Record<string, string> = {}): ProgressView {
  const element = document.createElement("progress-view");
  element.client = client;
  for (const [name, value] of Object.entries({ task: "a", ...attributes })) element.setAttribute(name, value);
  document.body.append(element);
  frame();
  return element;
}

/** Long enough for the next frame that draws. */
function frame(): void {
  vi.advanceTimersByTime(80);
}

function part(element: ProgressView, name: string): HTMLElement {
  const found = element.shadowRoot!.querySelector<HTMLElement>(`[part~="${name}"]`);
  if (found === null) throw new Error(`there is no part ${name}`);
  return found;
}

const text = (element: ProgressView, name: string) => part(element, name).textContent;

describe("what is shown", () => {
  it("is a skeleton before the first state", () => {
    const element = mount();
    expect(part(element, "bar").className).toContain("waiting");
    expect(part(element, "bar").hasAttribute("aria-valuenow")).toBe(false);
    expect(text(element, "state")).toBe("Waiting for the first state");
  });

  it("is that the server knows no such task yet, where it has said so", () => {
    const element = mount();
    client.connect("live");
    frame();
    expect(text(element, "state")).toBe("Not started yet");
    expect(part(element, "bar").getAttribute("aria-valuetext")).toBe("Not started yet");
    client.task("a").update({});
    frame();
    expect(text(element, "state")).toBe("Running");
  });

  it("is the name, the percent, the state, what it does and the time", () => {
    const element = mount();
    client.task("a").update({ name: "Video", progress: 42.9, message: "Rendering", eta_ms: 125_000, elapsed_ms: 61_000 });
    frame();
    expect(text(element, "label")).toBe("Video");
    expect(text(element, "percent")).toBe("42%");
    expect(text(element, "state")).toBe("Running");
    expect(text(element, "message")).toBe("Rendering");
    expect(text(element, "time")).toBe("about 2 minutes left · 1 min 1 sec so far");
    expect(text(element, "connection")).toBe("Live");
  });

  it("stands out where the connection is lost", () => {
    const element = mount();
    client.task("a").update({});
    client.connect("stale");
    frame();
    expect(text(element, "connection")).toBe("Connection lost, reconnecting…");
    expect(part(element, "connection").className).toBe("odd");
    client.connect("live");
    frame();
    expect(part(element, "connection").className).toBe("");
  });

  it("never says 100 % before it is done", () => {
    const element = mount();
    client.task("a").update({ progress: 99.9 });
    frame();
    expect(text(element, "percent")).toBe("99%");
  });

  it("counts the time on between events, and stops at the end", () => {
    const element = mount();
    client.task("a").update({ elapsed_ms: 10_000, eta_ms: 64_000 });
    frame();
    expect(text(element, "time")).toBe("about 1 minute left · 10 sec so far");
    vi.advanceTimersByTime(15_100);
    expect(text(element, "time")).toBe("about 50 seconds left · 25 sec so far");
    client.task("a").update({ state: "completed", progress: 100, elapsed_ms: 15_500 });
    vi.advanceTimersByTime(60_000);
    expect(text(element, "time")).toBe("15 sec");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is the stages, indented by path, with what was counted", () => {
    const element = mount({ stages: "" });
    const stage = { weight: 1, progress: 50, current: 80, total: 120, unit: "frames", state: "running" };
    client.task("a").update({
      stages: [
        { ...stage, path: "render", label: "Render" },
        { ...stage, path: "render/tile-1", label: "tile-1", state: "completed", progress: 100, current: null },
      ],
    });
    frame();
    const rows = element.shadowRoot!.querySelectorAll("li");
    expect([...rows].map((row) => row.getAttribute("aria-level"))).toEqual(["1", "2"]);
    expect(rows[0]!.textContent).toContain("80/120 frames · 50%");
    expect(rows[1]!.textContent).toContain("Done");
    element.removeAttribute("stages");
    frame();
    expect(element.shadowRoot!.querySelector("li")).toBeNull();
  });

  it("is nothing that was counted of a stage of which nobody knows how much, but whether it is done", () => {
    const element = mount({ stages: "" });
    const stage = { label: "", weight: 1, progress: 100, state: "completed", unit: "frames" };
    client.task("a").update({
      stages: [
        { ...stage, path: "a", current: 0, total: null },
        { ...stage, path: "b", current: 7, total: null },
        { ...stage, path: "c", current: 0, total: 0 },
        { ...stage, path: "d", current: 0, total: null, state: "running", progress: 5 },
      ],
    });
    frame();
    const notes = [...element.shadowRoot!.querySelectorAll("li .note")].map((note) => note.textContent);
    expect(notes).toEqual(["Done", "7 frames", "0/0 frames", "5%"]);
  });

  it("is as many lines of the log as are wished for", () => {
    const element = mount({ log: "2" });
    client.task("a").update({});
    for (const line of ["one", "two", "three"]) client.task("a").log(line);
    vi.advanceTimersByTime(1_100);
    expect([...part(element, "log").children].map((line) => line.lastChild?.textContent)).toEqual(["two", "three"]);
    element.setAttribute("log", "0");
    frame();
    expect(element.shadowRoot!.querySelector("[role=log]")).toBeNull();
  });

  it("is an error with what may help", () => {
    const element = mount();
    client.task("a").update({
      state: "failed",
      error: { code: "DID_API_ERROR", message: "the service is busy", solutions: ["Try later"], retry_count: 3, max_retries: 3, trace_id: "t-1" },
    });
    frame();
    const problem = text(element, "error");
    for (const word of ["Failed", "DID_API_ERROR", "the service is busy", "Try later", "retry 3 of 3", "Trace t-1"]) {
      expect(problem).toContain(word);
    }
  });

  it("is why a task cannot be watched", () => {
    const element = mount();
    client.task("a").refuse(refusal("TASK_NOT_FOUND", "there is no task a", 404));
    frame();
    expect(text(element, "error")).toContain("there is no task a");
    expect(part(element, "bar").className).not.toContain("waiting");
  });

  it("is text, whatever a task says", () => {
    const element = mount({ stages: "" });
    const evil = '<img src=x onerror="globalThis.pwned=1">';
    client.task("a").log(evil, evil);
    client.task("a").update({
      name: evil,
      message: evil,
      stages: [{ path: evil, label: evil, weight: 1, state: evil, progress: 1, unit: evil, current: 1, message: evil }],
      last_error: { code: evil, message: evil, solutions: [evil], trace_id: evil },
    });
    vi.advanceTimersByTime(1_100);
    expect(element.shadowRoot!.querySelector("img")).toBeNull();
    expect(text(element, "label")).toBe(evil);
  });

  it("changes no node for a view that says the same", () => {
    const element = mount({ stages: "" });
    client.task("a").update({ progress: 10, message: "same" });
    frame();
    const changes: MutationRecord[] = [];
    const observer = new MutationObserver((records) => changes.push(...records));
    observer.observe(element.shadowRoot!, { subtree: true, childList: true, attributes: true, characterData: true });
    client.task("a").update({ progress: 10, message: "same" });
    frame();
    changes.push(...observer.takeRecords());
    expect(changes).toEqual([]);
  });

  it("draws many updates of a frame once", () => {
    const element = mount();
    client.task("a").update({ progress: 1 });
    frame();
    const drawn = vi.spyOn(element, "draw");
    for (let progress = 2; progress < 50; progress++) client.task("a").update({ progress });
    frame();
    expect(drawn).toHaveBeenCalledOnce();
  });

  it("can be said in other words", () => {
    setStrings({ states: { running: "Läuft" } });
    try {
      const element = mount();
      client.task("a").update({});
      frame();
      expect(text(element, "state")).toBe("Läuft");
    } finally {
      setStrings({ states: { running: "Running" } });
    }
  });
});

describe("what is read out", () => {
  it("is told again every ten seconds at most, and when the state changes", () => {
    const element = mount();
    const bar = part(element, "bar");
    client.task("a").update({ progress: 10 });
    frame();
    expect(bar.getAttribute("aria-valuenow")).toBe("10");
    expect(element.shadowRoot!.querySelector("[role=status]")!.textContent).toBe("");
    client.task("a").update({ progress: 20 });
    vi.advanceTimersByTime(5_000);
    expect(bar.getAttribute("aria-valuenow")).toBe("10");
    vi.advanceTimersByTime(6_000);
    expect(bar.getAttribute("aria-valuenow")).toBe("20");
    client.task("a").update({ progress: 30, state: "paused" });
    frame();
    expect(bar.getAttribute("aria-valuetext")).toBe("30%, Paused");
    expect(element.shadowRoot!.querySelector("[role=status]")!.textContent).toBe("a: Paused");
  });

  it("is no flood of log lines", () => {
    const element = mount();
    client.task("a").update({});
    vi.advanceTimersByTime(5_000);
    client.task("a").log("alone");
    vi.advanceTimersByTime(5_000);
    expect(part(element, "log").getAttribute("aria-live")).toBe("polite");
    for (let line = 0; line < 20; line++) {
      client.task("a").log(`line ${line}`);
      vi.advanceTimersByTime(300);
    }
    expect(part(element, "log").getAttribute("aria-live")).toBe("off");
  });
});

describe("cancelling", () => {
  it("asks the task, and says so", async () => {
    client.answer = () => ({});
    const element = mount({ cancel: "" });
    client.task("a").update({});
    frame();
    const button = part(element, "cancel") as HTMLButtonElement;
    button.click();
    await vi.advanceTimersByTimeAsync(80);
    expect(client.task("a").cancels).toEqual([undefined]);
    expect(button.textContent).toBe("Cancelling…");
    expect(button.disabled).toBe(true);
  });

  it("is of no use to whom it is forbidden, who is told why", async () => {
    client.answer = () => {
      throw refusal("FORBIDDEN", "this is not allowed", 403);
    };
    const element = mount({ cancel: "" });
    client.task("a").update({});
    frame();
    const button = part(element, "cancel") as HTMLButtonElement;
    button.click();
    await vi.advanceTimersByTimeAsync(80);
    expect(button.disabled).toBe(true);
    expect(element.shadowRoot!.getElementById(button.getAttribute("aria-describedby")!)!.textContent).toBe(
      "You may not cancel this task: this is not allowed",
    );
  });

  it("can be tried again where the connection failed", async () => {
    client.answer = () => {
      throw new TypeError("no network");
    };
    const element = mount({ cancel: "" });
    client.task("a").update({});
    frame();
    const button = part(element, "cancel") as HTMLButtonElement;
    button.click();
    await vi.advanceTimersByTimeAsync(80);
    expect(button.disabled).toBe(false);
  });

  it("is not offered of a task that has ended", () => {
    const element = mount({ cancel: "" });
    client.task("a").update({ state: "completed" });
    frame();
    expect(part(element, "cancel").parentElement!.hidden).toBe(true);
  });
});

describe("events", () => {
  it("tell once of a completed task, also of one that had ended before", async () => {
    client.task("a").update({ state: "completed", progress: 100, result: 7 });
    const element = mount();
    const done = vi.fn();
    document.body.addEventListener("progress-complete", (event) => done(event.detail.result), { once: false });
    await vi.advanceTimersByTimeAsync(80);
    client.task("a").update({ message: "again" });
    await vi.advanceTimersByTimeAsync(80);
    expect(done.mock.calls).toEqual([[7]]);
    expect(element.view.snapshot?.result).toBe(7);
  });

  it("tell of an error", async () => {
    const element = mount();
    const failed = vi.fn();
    element.addEventListener("progress-error", (event) => failed(event.detail.error.code));
    client.task("a").update({ state: "abandoned", cause: "silent" });
    await vi.advanceTimersByTimeAsync(80);
    expect(failed.mock.calls).toEqual([["ABANDONED"]]);
  });
});

describe("watching", () => {
  it("ends with the element, and leaves no timer", () => {
    const element = mount();
    client.task("a").update({});
    frame();
    element.remove();
    expect(client.listeners).toBe(0);
    vi.advanceTimersByTime(2_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("goes over to another task", () => {
    const element = mount();
    client.task("a").update({ progress: 50 });
    frame();
    element.setAttribute("task", "b");
    frame();
    expect(text(element, "label")).toBe("b");
    expect(text(element, "percent")).toBe("");
    expect(client.task("a").listeners).toBe(0);
  });

  it("is one client for elements of one url, closed some time after the last", () => {
    document.body.innerHTML = `
      <progress-view task="a" url="/api"></progress-view>
      <progress-view task="b" url="/api"></progress-view>
      <progress-view task="c" url="/other"></progress-view>`;
    expect(made.map(({ url }) => url)).toEqual(["/api", "/other"]);
    document.body.replaceChildren();
    vi.advanceTimersByTime(1_000);
    document.body.innerHTML = `<progress-view task="a" url="/api"></progress-view>`;
    vi.advanceTimersByTime(60_000);
    expect(made.map((each) => each.client.closed)).toEqual([false, true]);
    expect(made.length).toBe(2);
  });

  it("takes a client that was given before the element was defined", () => {
    const element = document.createElement("progress-view");
    Object.defineProperty(element, "client", { value: client, configurable: true, writable: true, enumerable: true });
    element.setAttribute("task", "a");
    document.body.append(element);
    expect(made).toEqual([]);
    expect(client.task("a").listeners).toBe(1);
  });
});
