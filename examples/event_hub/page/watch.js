// What is watched. The connection, its repair, and what was missed are the client's business, and so is that all tabs of
// a user have one. Here its events go to the cards, and to the lists that they keep true.

import { createProgressClient } from './dashboard/progress-client.js';

export class Watch {
  #client;
  #cards;
  #lists;
  #onState;
  #onProblem;
  #stops = new Map();
  #state = null;
  #refused = null;

  /**
   * @param share Who it is: tabs of the same have one connection.
   * @param lists By channel, what its events change.
   * @param onState Is called with the state of the connection, and why nothing more is to come.
   */
  constructor({ token, share, cards, lists, onState, onProblem }) {
    this.#client = createProgressClient({ url: '/', getToken: () => token, share });
    this.#cards = cards;
    this.#lists = lists;
    this.#onState = onState;
    this.#onProblem = onProblem;
    this.#client.subscribe(() => this.#tell());
  }

  get isLive() {
    return this.#client.connection === 'live';
  }

  start(name) {
    const onEvent = (frame) => this.#hear(name, frame);
    const channel = this.#client.channel(name, { replay: 'all', onEvent });
    // What the client still has from a moment ago it does not tell again.
    channel.view.events.forEach(onEvent);
    let before = null;
    this.#cards.status(name, 'connecting');
    const stop = channel.subscribe(({ connection, error }) => {
      this.#cards.status(name, connection, error);
      // Whatever came in between: another server may know of nothing, and some of what was missed be gone.
      if (connection === 'live' && before !== 'live') {
        this.#renew(name);
      }
      before = connection;
      if (connection === 'ended' && error && error.code !== 'FORBIDDEN') {
        this.#refused = error;
        this.#tell();
      }
    });
    this.#stops.set(name, stop);
  }

  stop(name) {
    this.#stops.get(name)?.();
    this.#stops.delete(name);
    this.#cards.status(name, 'off');
  }

  /** For good. */
  end(error) {
    this.#refused = error;
    this.#client.close();
    this.#tell();
  }

  /** The client calls with each event. */
  #tell() {
    const state = this.#refused ? 'ended' : this.#client.connection;
    if (state !== this.#state) {
      this.#state = state;
      this.#onState(state, this.#refused);
    }
  }

  #hear(name, frame) {
    this.#cards.add(name, frame);
    if (this.#lists[name]?.take(frame) === false) {
      this.#renew(name);
    }
  }

  async #renew(name) {
    try {
      await this.#lists[name]?.renew();
    } catch (error) {
      // It is asked for again when the connection, which says what is wrong, is back.
      if (this.isLive) {
        this.#onProblem(error);
      }
    }
  }
}
