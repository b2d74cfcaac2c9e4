// What the client does not do: it says to the list of clients who this page is, and hears what is broadcast to all of
// them. Nothing is watched by it. When it is worth while to come back, the client's connection tells.

const AGAIN_MS = 3_000;
const SENT_AWAY = 4403;
const OWN = new Set(['connected', 'heartbeat', 'draining', 'rejected']);

export class Presence {
  #token;
  #name;
  #isWanted;
  #onNotice;
  #onSentAway;
  #socket = null;

  /** @param isWanted Whether the server can be reached now. */
  constructor({ token, name, isWanted, onNotice, onSentAway }) {
    this.#token = token;
    this.#name = name;
    this.#isWanted = isWanted;
    this.#onNotice = onNotice;
    this.#onSentAway = onSentAway;
  }

  /** Comes, where it is wanted and not there. */
  come() {
    if (this.#socket || !this.#isWanted()) {
      return;
    }
    const protocols = ['progress.v1.json', ...(this.#token ? [`bearer.${this.#token}`] : [])];
    const socket = new WebSocket(new URL('/ws', location.href.replace(/^http/, 'ws')), protocols);
    this.#socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: 'register', client_type: 'web', client_name: this.#name }));
    };
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (!OWN.has(frame.event_type)) {
        this.#onNotice(frame);
      }
    };
    socket.onclose = ({ code }) => {
      if (code === SENT_AWAY) {
        this.#onSentAway();
        return;
      }
      this.#socket = null;
      setTimeout(() => this.come(), AGAIN_MS);
    };
  }
}
