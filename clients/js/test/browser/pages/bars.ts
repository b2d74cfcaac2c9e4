/** Bars on a page, fed by a fake client; driven by the test through `bars`. */

import "../../../src/element/index.js";
import type { ProgressView } from "../../../src/element/index.js";
import { FakeClient } from "../../support/fake-client.js";
import { completed, failed, running } from "../../support/sample.js";

const client = new FakeClient();
const main = document.createElement("main");
main.append(Object.assign(document.createElement("h1"), { textContent: "Bars" }));
document.body.append(main);

function add(task: string, attributes: Record<string, string> = {}): ProgressView {
  const element = document.createElement("progress-view");
  element.client = client;
  for (const [name, value] of Object.entries({ task, ...attributes })) element.setAttribute(name, value);
  main.append(element);
  return element;
}

let draws = 0;

const bars = {
  client,
  add,
  samples: { running, failed, completed },
  /** All that an element can show, of each kind. */
  gallery() {
    for (const [name, show] of Object.entries({ running, failed, completed })) {
      add(name, { stages: "", cancel: "" });
      show(client.task(name));
    }
    add("not-there-yet");
  },
  /** So many bars, each told so often a second; what is told is counted. */
  flood(count: number, perSecond: number) {
    for (let index = 0; index < count; index++) {
      const element = add(`task-${index}`, { log: "0" });
      const draw = element.draw.bind(element);
      element.draw = (now) => (draws++, draw(now));
      client.task(`task-${index}`).update({ name: `Task ${index}` });
    }
    let told = 0;
    setInterval(() => {
      for (let index = 0; index < count; index++) {
        told += 1;
        client.task(`task-${index}`).update({ progress: (told / count / 5) % 100, message: `Frame ${told}`, eta_ms: 60_000 });
        client.task(`task-${index}`).log(`frame ${told}`);
      }
    }, 1000 / perSecond);
    return { draws: () => draws, told: () => told };
  },
  async mountAndRemove(times: number) {
    running(client.task("again"));
    for (let time = 0; time < times; time++) {
      const element = add("again", { stages: "", cancel: "" });
      // Some are gone before they were drawn, others after.
      if (time % 20 === 0) await new Promise(requestAnimationFrame);
      element.remove();
    }
    await new Promise(requestAnimationFrame);
  },
};

Object.assign(globalThis, { bars });
