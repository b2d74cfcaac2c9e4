import { make } from "../element/dom.js";
import type { ProgressError } from "../types.js";
import { words } from "./words.js";

/** The page of somebody who may not list tasks: what is missing, and a field for a token. */
export function gate(error: ProgressError, use: (token: string, remember: boolean) => void): HTMLElement {
  const unknown = error.status === 401;
  const token = make("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: "" });
  const remember = make("input", { type: "checkbox" });
  const form = make(
    "form",
    {},
    make("label", { class: "field wide" }, make("span", {}, words.token), token),
    make("label", { class: "check" }, remember, words.remember),
    make("button", { type: "submit" }, words.use),
    make("p", { class: "quiet" }, words.tokenHint),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = token.value.trim();
    if (given !== "") use(given, remember.checked);
  });
  const solutions = error.error.solutions ?? [];
  return make(
    "main",
    { class: "gate" },
    make("h2", {}, unknown ? words.unknownTitle : words.refusedTitle),
    make("p", {}, unknown ? words.needsToken : words.needsList),
    make("p", { class: "quiet" }, make("code", {}, error.code), ` ${error.message}`),
    ...(solutions.length === 0
      ? []
      : [make("p", {}, words.solutions), make("ul", {}, ...solutions.map((solution) => make("li", {}, solution)))]),
    form,
  );
}
