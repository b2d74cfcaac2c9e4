// Who is connected, for operators: asked for from time to time, as nobody is told of it.

import { post, read, remove } from './api.js';
import { time } from './words.js';

const EVERY_MS = 3_000;

export class Clients {
  #body = document.querySelector('#clients');
  #onProblem;

  constructor({ onProblem }) {
    this.#onProblem = onProblem;
    document.querySelector('#broadcast').onsubmit = (submit) => this.#broadcast(submit);
    setInterval(() => document.hidden || this.refresh(), EVERY_MS);
    this.refresh();
  }

  async refresh() {
    try {
      const { clients } = await read('/clients');
      const named = clients.filter((client) => client.client_type);
      const others = clients.filter((client) => !client.client_type);
      const rows = [...named, ...others].map((client) => this.#row(client));
      // A button that has the focus stays where it is.
      if (!this.#body.contains(document.activeElement)) {
        this.#body.replaceChildren(...rows);
      }
    } catch {
      // The connection's state says what is wrong.
    }
  }

  #row(client) {
    const row = document.createElement('tr');
    const cell = (...content) => {
      const cell = document.createElement('td');
      cell.append(...content);
      row.append(cell);
    };
    cell(client.client_type ?? client.transport);
    cell(client.client_name ?? '–');
    cell(client.subject ?? '–');
    cell(client.topics.map((topic) => topic.channel ?? topic.task_id).join(', ') || '–');
    cell(time(client.connected_at));
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Disconnect';
    button.ariaLabel = `Disconnect ${client.client_name ?? client.id}`;
    button.onclick = async () => {
      button.blur();
      try {
        await remove(`/clients/${client.id}`);
        row.remove();
      } catch (error) {
        this.#onProblem(error);
      }
    };
    cell(button);
    return row;
  }

  async #broadcast(submit) {
    submit.preventDefault();
    const form = submit.target;
    try {
      const data = { text: form.elements.text.value };
      await post('/broadcast', { event_type: 'notice', data });
      form.reset();
    } catch (error) {
      this.#onProblem(error);
    }
  }
}
