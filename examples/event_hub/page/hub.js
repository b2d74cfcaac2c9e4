// The connection: one WebSocket for all channels, which comes back by itself and goes on where it was.

const HEARTBEAT_MS = 30_000;
// Silence of this many heartbeats means that the connection is dead, whatever the browser thinks.
const PATIENCE = 2.5;
const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 30_000;
// The server will not have this client: trying again is of no use.
const FINAL = new Set([4400, 4401, 4403, 4404, 4409]);

/**
 * Watches channels. Its events:
 *
 * - `state`: `detail` is `{state, reason}`; `connecting`, `live`, `reconnecting` or `refused`.
 * - `channel`: `detail` is `{channel, status, error?}`; `live`, `off`, `refused`, `stale` (what was known
 *   has to be asked for anew).
 * - `event`: `detail` is `{channel, event, history}`; `history` says that it is older than the connection,
 *   so that it is in what was asked for since.
 * - `notice`: `detail` is a frame that was broadcast to all.
 */
export class Hub extends EventTarget {
  #url;
  #token;
  #name;
  #socket = null;
  #state = 'connecting';
  // By channel: whether it is wanted, and where it stands.
  #channels = new Map();
  #failures = 0;
  #retry = null;
  #heartbeat = HEARTBEAT_MS;
  #heard = 0;
  #wait = null;

  constructor({ token, name, channels }) {
    super();
    this.#url = new URL('/ws', location.href.replace(/^http/, 'ws'));
    this.#token = token;
    this.#name = name;
    for (const channel of channels) {
      this.#channels.set(channel, { epoch: null, last: null, head: 0, replay: 'all' });
    }
    addEventListener('online', () => this.#wake());
    addEventListener('pageshow', () => this.#wake());
    document.addEventListener('visibilitychange', () => document.hidden || this.#wake());
    setInterval(() => this.#checkPulse(), 1_000);
    this.#open();
  }

  get state() {
    return this.#state;
  }

  subscribe(channel) {
    this.#channels.set(channel, { epoch: null, last: null, head: 0, replay: 'all' });
    if (this.#state === 'live') {
      this.#ask([channel]);
    }
  }

  unsubscribe(channel) {
    if (this.#channels.delete(channel) && this.#state === 'live') {
      this.#send({ type: 'unsubscribe', topics: [{ channel }] });
    }
    this.#tell('channel', { channel, status: 'off' });
  }

  #open() {
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#drop();
    this.#heard = Date.now();
    const protocols = ['progress.v1.json'];
    if (this.#token) {
      protocols.push(`bearer.${this.#token}`);
    }
    const socket = new WebSocket(this.#url, protocols);
    socket.onmessage = (message) => this.#hear(JSON.parse(message.data));
    socket.onclose = ({ code, reason }) => this.#lose(socket, code, reason);
    this.#socket = socket;
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #lose(socket, code, reason) {
    if (socket !== this.#socket) {
      return;
    }
    this.#socket = null;
    if (FINAL.has(code)) {
      this.#become('refused', reason);
    } else {
      this.#retryLater();
    }
  }

  #retryLater() {
    this.#become('reconnecting');
    const most = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    clearTimeout(this.#retry);
    // Full jitter, so that all clients of a server that restarts do not come back at once.
    this.#retry = setTimeout(() => this.#open(), this.#wait ?? Math.random() * most);
    this.#wait = null;
  }

  #wake() {
    const lost = this.#state === 'reconnecting';
    if (lost || (this.#state === 'live' && this.#isSilent())) {
      this.#open();
    }
  }

  #isSilent() {
    return Date.now() - this.#heard > this.#heartbeat * PATIENCE;
  }

  #checkPulse() {
    if (this.#socket !== null && this.#isSilent()) {
      this.#drop();
      this.#retryLater();
    }
  }

  #hear(frame) {
    this.#heard = Date.now();
    if (frame.event) {
      this.#take(frame);
      return;
    }
    const { event_type: type, channel, data } = frame;
    switch (type) {
      case 'connected':
        this.#greet(data);
        break;
      case 'subscribed':
        this.#verdict(channel, data);
        break;
      case 'gap':
      case 'reset':
        if (type === 'reset') {
          this.#restart(channel, data);
        }
        this.#tell('channel', { channel, status: 'stale' });
        break;
      case 'rejected':
        if (channel) {
          this.#channels.delete(channel);
          this.#tell('channel', { channel, status: 'refused', error: data });
        }
        break;
      case 'draining':
        this.#wait = data.reconnect_after_ms;
        break;
      case 'heartbeat':
      case 'pong':
        break;
      default:
        this.#tell('notice', frame);
    }
  }

  #greet({ heartbeat_ms: heartbeat }) {
    this.#heartbeat = heartbeat ?? HEARTBEAT_MS;
    this.#failures = 0;
    this.#send({ type: 'register', client_type: 'web', client_name: this.#name });
    this.#become('live');
    this.#ask([...this.#channels.keys()]);
  }

  #ask(channels) {
    const topics = channels.map((channel) => {
      const { epoch, last, replay } = this.#channels.get(channel);
      return last === null ? { channel, replay } : { channel, after: `${epoch}:${last}` };
    });
    if (topics.length > 0) {
      this.#send({ type: 'subscribe', topics });
    }
  }

  #verdict(channel, { epoch, seq, resume }) {
    const place = this.#channels.get(channel);
    if (!place) {
      return;
    }
    if (resume !== 'resumed') {
      place.last = null;
    }
    Object.assign(place, { epoch, head: resume === 'resumed' ? 0 : seq });
    this.#tell('channel', { channel, status: 'live' });
    if (resume !== 'resumed') {
      this.#tell('channel', { channel, status: 'stale' });
    }
  }

  #restart(channel, { epoch, seq }) {
    const place = this.#channels.get(channel);
    if (place) {
      Object.assign(place, { epoch, last: null, head: seq });
    }
  }

  /** The rule of a client: a repeat is dropped, what continues is taken, else something is missing. */
  #take({ channel, channel_seq: seq, channel_from: from = seq, event }) {
    const place = this.#channels.get(channel);
    if (!place || seq <= place.last) {
      return;
    }
    if (place.last !== null && from > place.last + 1) {
      this.#open();
      return;
    }
    place.last = seq;
    this.#tell('event', { channel, event, history: seq <= place.head });
  }

  #send(command) {
    this.#socket?.send(JSON.stringify(command));
  }

  #become(state, reason = '') {
    if (this.#state !== state || reason) {
      this.#state = state;
      this.#tell('state', { state, reason });
    }
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
