// Sessions, one of which is looked at.

/** `onChoose(id)` is called when another session is looked at. */
export class Sessions {
  #list = document.querySelector('#sessions');
  #empty = document.querySelector('#no-sessions');
  #known = new Map();
  #onChoose;
  chosen = null;

  constructor({ onChoose }) {
    this.#onChoose = onChoose;
  }

  /** Puts these, the newest first, in place of all. */
  replace(sessions) {
    this.#known = new Map();
    this.#list.replaceChildren();
    for (const session of sessions.toReversed()) {
      this.put(session);
    }
    this.#empty.hidden = this.#known.size > 0;
    if (!this.#known.has(this.chosen)) {
      this.choose(sessions[0]?.session_id ?? null);
    }
  }

  put(change) {
    const id = change.session_id;
    let shown = this.#known.get(id);
    if (!shown) {
      const button = document.createElement('button');
      button.type = 'button';
      button.onclick = () => this.choose(id);
      const item = document.createElement('li');
      item.append(button);
      shown = { session: {}, button };
      this.#known.set(id, shown);
      this.#list.prepend(item);
      this.#empty.hidden = true;
    }
    Object.assign(shown.session, change);
    const { name, state } = shown.session;
    shown.button.textContent = state === 'completed' ? `${name} (completed)` : name;
    shown.button.ariaPressed = String(id === this.chosen);
    if (this.chosen === null) {
      this.choose(id);
    }
  }

  choose(id) {
    this.chosen = id;
    for (const [known, { button }] of this.#known) {
      button.ariaPressed = String(known === id);
    }
    this.#onChoose(id);
  }

  get(id) {
    return this.#known.get(id)?.session;
  }
}
