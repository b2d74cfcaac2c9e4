// Small parts that rows and summary share. Each writes to the page only what differs from what is there.

import { GLUE, fullSentence, percent, remaining, stateWord } from './words.js';

export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

export function setData(element, name, value) {
  if (element.dataset[name] !== value) {
    element.dataset[name] = value;
  }
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) {
    element.hidden = hidden;
  }
}

function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/** Makes an element with a text or with children. */
export function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  element.append(...content);
  return element;
}

/** The state, as an icon and as a word. */
export class Chip {
  #word;
  #use;
  #element;

  constructor(element) {
    this.#element = element;
    this.#word = element.querySelector('.word');
    this.#use = element.querySelector('use');
  }

  show(state) {
    if (this.#element.dataset.state === state) {
      return;
    }
    this.#element.dataset.state = state;
    this.#word.textContent = stateWord(state);
    this.#use.setAttribute('href', `#icon-${state}`);
  }
}

/** A bar with its percent and the time left. */
export class Bar {
  #bar;
  #fill;
  #percent;
  #eta;
  #shown = null;

  constructor(root) {
    this.#bar = root.querySelector('.bar');
    this.#fill = root.querySelector('.fill');
    this.#percent = root.querySelector('.percent');
    this.#eta = root.querySelector('.eta');
  }

  get element() {
    return this.#bar;
  }

  /** `words` is what is said of the bar beside its percent. */
  show(task, words) {
    const whole = percent(task.progress);
    const eta = task.due === null || task.isOver ? '' : remaining(task.due - Date.now());
    setText(this.#percent, `${whole}${GLUE}%`);
    setText(this.#eta, eta);
    setAttribute(this.#bar, 'aria-valuenow', String(whole));
    setAttribute(this.#bar, 'aria-valuetext', [words, `${whole} %`, eta].filter(Boolean).join(', '));
    if (this.#shown !== task.progress) {
      this.#shown = task.progress;
      this.#fill.style.transform = `scaleX(${task.progress / 100})`;
    }
  }
}

/** What went wrong and what can be done about it. */
export function problem(error) {
  const text = make('p', 'problem', fullSentence(error.message));
  if (error.code) {
    text.append(' ', make('code', '', error.code));
  }
  const parts = [text];
  if (error.solutions?.length) {
    const items = error.solutions.map((text) => make('li', '', fullSentence(text)));
    parts.push(make('ul', 'solutions', ...items));
  }
  return parts;
}
