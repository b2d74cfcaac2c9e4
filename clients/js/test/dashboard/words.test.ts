// @vitest-environment jsdom
import { afterEach, expect, it, vi } from "vitest";
import { Dashboard, setStrings, setWords } from "../../src/dashboard/index.js";
import { Detail } from "../../src/dashboard/detail.js";
import { words } from "../../src/dashboard/words.js";
import { strings } from "../../src/element/strings.js";
import { FakeClient } from "../support/fake-client.js";

// jsdom has none.
vi.stubGlobal("ResizeObserver", class {
  observe(): void {}
});

const before = { words: { ...words }, strings: { ...strings } };

afterEach(() => {
  setWords(before.words);
  setStrings(before.strings);
});

it("a dashboard can be said in other words, those of the element included", () => {
  setWords({ title: "Aufgaben", groups: { active: "Aktiv" }, shown: (shown) => `${shown} Aufgaben` });
  setStrings({ states: { running: "Läuft" } });
  const { root } = new Dashboard({ url: "/", create: () => new FakeClient() });
  expect(root.querySelector("h1")!.textContent).toBe("Aufgaben");
  const states = [...root.querySelectorAll<HTMLOptionElement>("#state option")].map(({ text }) => text);
  expect(states).toEqual(expect.arrayContaining(["Aktiv", "Ended", "Läuft", "Queued"]));
  expect(root.querySelector(".counts .running")!.textContent).toContain("läuft");
});

it("states of the parts of a task are said in the words of states", () => {
  const client = new FakeClient();
  const detail = new Detail(() => {}, () => {});
  detail.show(client, "a");
  client.task("a").update({ children: { total: 4, by_state: { completed: 2, running: 1, of_a_later_server: 1 } } });
  detail.draw();
  expect(detail.root.querySelector(".facts")!.textContent).toContain("4 (2 done, 1 running, 1 of_a_later_server)");
  detail.show(null, null);
});

it("numbers are written as the language has them", () => {
  expect(words.shown(1_000, 12_000)).toBe("1,000 of 12,000 tasks");
  setStrings({ locale: "de" });
  expect(words.shown(1_000, 12_000)).toBe("1.000 of 12.000 tasks");
});
