// A card for each channel: a switch, and its newest events.

import { sentence, time, weight } from './words.js';

// Events on a card. All that the hub keeps would be a thousand and more.
const SHOWN = 40;
const STATUS = {
  off: 'off',
  idle: 'off',
  connecting: 'waiting…',
  live: 'live',
  resyncing: 'catching up…',
  stale: 'not live',
  polling: 'cannot be polled',
  ended: 'ended',
};

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
      this.status(name, may ? 'connecting' : 'ended', may ? null : { code: 'FORBIDDEN' });
    }
  }

  /** Shows how it stands with a channel, a state of the client's or `off`; `error` is why it cannot be watched. */
  status(name, status, error = null) {
    const card = this.#cards.get(name);
    const isRefused = error?.code === 'FORBIDDEN';
    card.dataset.status = isRefused ? 'refused' : status;
    card.querySelector('.status').textContent = isRefused ? 'not for this role' : STATUS[status];
    if (isRefused) {
      card.querySelector('input').checked = false;
    }
    if (status === 'off') {
      this.#clear(card);
    }
  }

  /** Has a card show this epoch of its channel: those of a server that is no more are no more either. */
  enter(name, epoch) {
    const card = this.#cards.get(name);
    if (card.dataset.epoch !== epoch) {
      this.#clear(card);
      card.dataset.epoch = epoch;
    }
  }

  add(name, { channel_epoch: epoch, event }) {
    this.enter(name, epoch);
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

  #clear(card) {
    card.querySelector('.events').replaceChildren();
  }
}
