// A card for each channel: a switch, and its newest events.

import { sentence, time, weight } from './words.js';

// Events on a card. All that the hub keeps would be a thousand and more.
const SHOWN = 40;
const STATUS = { off: 'off', live: 'live', stale: 'live', refused: 'not for this role', waiting: 'waiting…' };

export class Channels {
  #cards = new Map();

  constructor(names, heard, { onSwitch }) {
    const section = document.querySelector('#channels');
    const template = document.querySelector('#channel');
    for (const name of names) {
      const card = template.content.firstElementChild.cloneNode(true);
      const may = heard.includes(name);
      const box = card.querySelector('input');
      card.querySelector('.name').textContent = name;
      card.querySelector('.events').ariaLabel = `Events of ${name}`;
      card.dataset.channel = name;
      box.checked = may;
      box.disabled = !may;
      box.onchange = () => onSwitch(name, box.checked);
      section.append(card);
      this.#cards.set(name, card);
      this.status(name, may ? 'waiting' : 'refused');
    }
  }

  status(name, status) {
    const card = this.#cards.get(name);
    card.dataset.status = status;
    card.querySelector('.status').textContent = STATUS[status];
    if (status === 'refused') {
      card.querySelector('input').checked = false;
    }
  }

  /** Begins anew: the events will come again. */
  clear(name) {
    this.#cards.get(name).querySelector('.events').replaceChildren();
  }

  add(name, event) {
    const events = this.#cards.get(name).querySelector('.events');
    const line = document.createElement('li');
    line.dataset.type = event.event_type;
    line.dataset.weight = weight(event);
    const when = document.createElement('time');
    when.dateTime = event.timestamp;
    when.textContent = time(event.timestamp);
    const type = document.createElement('code');
    type.textContent = event.event_type;
    line.append(when, ' ', type, ' ', sentence(event));
    if (event.key) {
      // A newer value of the same: the older one is worth nothing now.
      line.dataset.key = `${event.event_type} ${event.key}`;
      [...events.children].find((older) => older.dataset.key === line.dataset.key)?.remove();
    }
    events.prepend(line);
    while (events.children.length > SHOWN) {
      events.lastElementChild.remove();
    }
  }
}
