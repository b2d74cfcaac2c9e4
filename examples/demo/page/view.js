// The page's list and summary, brought up to date once a frame and only where something changed.

import { setData, setHidden, setText } from './dom.js';
import { Row } from './row.js';
import { Summary } from './summary.js';
import { GLUE, connectionWord, percent } from './words.js';

// Rows are made and changed for this long in a frame; the others wait for the next one.
const FRAME_BUDGET_MS = 8;
// A hidden page draws no frames; its title is still seen.
const HIDDEN_EVERY_MS = 500;
// A screen reader hears no more often than this how it goes on.
const ANNOUNCE_EVERY_MS = 5_000;
const TITLE = document.title;

export class View {
  #batch = null;
  #rows = new Map();
  #changed = new Set();
  #due = false;
  #list = document.getElementById('rows');
  #template = document.getElementById('row');
  #section = document.getElementById('batch');
  #connection = document.getElementById('connection');
  #announcer = document.getElementById('announcer');
  #summary = new Summary(this.#section);
  #said = { text: '', at: 0, ended: 0 };
  #actions;
  #cancelAll = document.getElementById('cancel-all');

  /** What `actions` may have, a `Row` says; with `cancelAll` the batch can be cancelled too. */
  constructor(actions = {}) {
    this.#actions = actions;
    this.#cancelAll.addEventListener('click', () => actions.cancelAll());
    document.getElementById('to-failed').addEventListener('click', () => this.#goToFailed());
    document.addEventListener('visibilitychange', () => this.changed());
  }

  /** Shows another batch, or with null none. */
  show(batch) {
    this.#batch = batch;
    this.#rows.clear();
    // What the client knows already is told before anything is shown.
    this.#changed = new Set(batch?.files);
    this.#list.replaceChildren();
    this.#said = { text: '', at: 0, ended: 0 };
    setHidden(this.#section, batch === null);
    setHidden(this.#connection, batch === null);
    document.body.classList.toggle('watching', batch !== null);
    if (batch === null) {
      delete document.body.dataset.connection;
      setTitle(TITLE);
    } else {
      this.changed();
    }
  }

  /** Takes note that a task of the batch, or without one something else, is to be shown anew. */
  changed(task) {
    if (task && task !== this.#batch?.task) {
      this.#changed.add(task);
    }
    if (this.#due || !this.#batch) {
      return;
    }
    this.#due = true;
    const render = () => {
      this.#due = false;
      this.#render();
    };
    if (document.hidden) {
      setTimeout(render, HIDDEN_EVERY_MS);
    } else {
      requestAnimationFrame(render);
    }
  }

  #render() {
    const batch = this.#batch;
    if (!batch) {
      return;
    }
    this.#showRows();
    this.#showConnection(batch);
    const { task } = batch;
    setHidden(this.#cancelAll, !this.#actions.cancelAll || task.isOver || task.snapshot === null);
    const shown = this.#summary.show(batch);
    setTitle(title(batch, shown.tally));
    this.#announce(batch, shown);
    if (this.#changed.size > 0) {
      this.changed();
    }
  }

  #showRows() {
    const fresh = document.createDocumentFragment();
    const until = performance.now() + FRAME_BUDGET_MS;
    for (const task of this.#changed) {
      this.#changed.delete(task);
      let row = this.#rows.get(task.id);
      if (!row) {
        row = new Row(this.#template, task.id, this.#actions);
        this.#rows.set(task.id, row);
        fresh.append(row.root);
      }
      row.show(task);
      if (performance.now() > until) {
        break;
      }
    }
    if (fresh.hasChildNodes()) {
      this.#list.append(fresh);
    }
  }

  #showConnection({ connection, lostAt, fate }) {
    setData(document.body, 'connection', connection);
    setData(this.#connection, 'connection', connection);
    setText(this.#connection.querySelector('.word'), connectionWord(connection, lostAt));
    // Of a batch that is not there, nothing is final.
    setHidden(this.#connection, connection === 'final' && fate !== null);
  }

  #announce({ connection, fate }, { numbers, verdict, tally }) {
    const final = connection === 'final' || fate !== null;
    const text = final ? verdict : numbers;
    const ended = (tally.completed ?? 0) + (tally.failed ?? 0);
    const due = performance.now() - this.#said.at > ANNOUNCE_EVERY_MS && ended > this.#said.ended;
    if (text !== this.#said.text && (final || due)) {
      this.#said = { text, at: performance.now(), ended };
      setText(this.#announcer, text);
    }
  }

  #goToFailed() {
    const row = this.#list.querySelector('[data-state="failed"]');
    if (row) {
      row.tabIndex = -1;
      row.scrollIntoView({ block: 'center' });
      row.focus({ preventScroll: true });
    }
  }
}

/** The title crosses to the browser's own process: no more often than it changes. */
function setTitle(text) {
  if (document.title !== text) {
    document.title = text;
  }
}

function title({ task, fate, connection }, { total }) {
  if (fate !== null || task.snapshot === null) {
    return TITLE;
  }
  const what = total === 1 ? '1 file' : `${total} files`;
  const signs = { completed: '✓', failed: '⚠', cancelled: '⚠', abandoned: '⚠' };
  const how = signs[task.state] ?? `${percent(task.progress)}${GLUE}%`;
  return connection === 'stale' ? `(stale) ${how} ${what}` : `${how} ${what}`;
}
